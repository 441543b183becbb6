"""Readable formatting of numbers."""


def number(value: float | None) -> str:
    """Four decimals and grouped thousands, or powers of ten for very small or large floats; a dash for None."""
    if value is None or value == 0:
        return "–" if value is None else "0"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}" if 1e-3 <= abs(value) < 1e6 else f"{value:.2e}"
