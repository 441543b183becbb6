"""Figures as a reader wants them."""


def number(value: float | None) -> str:
    """Four decimals, thousands grouped, powers of ten where decimals would show nothing; a dash for None."""
    if value is None or value == 0:
        return "–" if value is None else "0"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}" if 1e-3 <= abs(value) < 1e6 else f"{value:.2e}"
