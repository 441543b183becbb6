"""A made-up scorecard with every block, for the pages that draw it."""


def fig(value, half=0.02):
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def about(n=1235):
    return {"split": "test", "n": n, "seed": 97}


def bins(gap, n=15):
    return [
        {
            "low": i / n,
            "high": (i + 1) / n,
            "n": 10 * i,
            "confidence": (i + 0.5) / n,
            "accuracy": max(0.0, (i + 0.5) / n - gap),
        }
        for i in range(n)
    ]


def blocks():
    """Block -> its content, in the formats of `hfft.scorecard.blocks`."""
    scores = {
        name: {"auroc": fig(0.7 + i / 30), "aupr_in": fig(0.8), "aupr_out": 0.6, "fpr95": 0.4, "fpr95_id": 0.3}
        for i, name in enumerate(("msp", "max_logit", "energy", "knn", "rmds", "vim"))
    }
    calibrated = {"ece": fig(0.031), "ece_equal_mass": fig(0.029), "classwise_ece": fig(0.012), "rms": fig(0.05)}
    return {
        "task": {
            **about(),
            "figures": {"accuracy": fig(0.912), "f1_macro": fig(0.88), "nll": {"value": 0.31, "low": 0.2, "high": 1.4}},
        },
        "beside": {
            **about(),
            "majority": fig(0.51),
            "knn": fig(0.86),
            "probe": fig(0.93),
            "directly": None,
            "differences": {
                "majority": {"value": 0.402, "low": 0.36, "high": 0.44, "p": 1e-9},
                "knn": {"value": 0.05, "low": -0.01, "high": 0.11, "p": 0.09},
                "probe": {"value": -0.02, "low": -0.03, "high": -0.01, "p": 0.01},
            },
            "why": {"directly": "the start has no head for these classes"},
        },
        "calibration": {
            **about(),
            "figures": calibrated,
            "bins": bins(0.1),
            "after": {
                "temperature": 1.83,
                "fitted_on": "validation",
                "fitted_n": 1234,
                "figures": {**{name: fig(f["value"] / 2) for name, f in calibrated.items()}, "nll": fig(0.3)},
                "bins": bins(0.01),
            },
        },
        "selective": {
            **about(),
            "figures": {"aurc": fig(0.02), "accuracy_at_80": fig(0.97)},
            "curve": [[i / 50, (i / 50) ** 2 / 10] for i in range(1, 51)],
            "conformal": {
                "target": 0.9,
                "coverage": fig(0.905),
                "mean_size": {"value": 1.4, "low": 1.3, "high": 1.5},
                "threshold": 0.62,
                "fitted_n": 1234,
            },
        },
        "unknown": {
            **about(),
            "target": 0.05,
            "threshold": 0.44,
            "fitted_n": 1234,
            "rejected": fig(0.06),
            "accuracy_of_the_rest": fig(0.95),
            "ood": {"noise": 0.93},
        },
        "cost": {
            "parameters": 303274,
            "trainable": 970,
            "bytes": 1213096,
            "latency_ms": 4.2,
            "rows_per_second": 812.0,
            "peak_mib": 311.0,
            "seconds": 1.2,
        },
        "ood": {
            **about(),
            "sets": {
                "noise": {"n": 500, "kind": "synthetic", "near": None, "scores": scores},
                "letters": {"n": 400, "kind": "given", "near": True, "scores": scores},
            },
        },
        "corruption": {
            **about(),
            "clean": fig(0.912),
            "mean": fig(0.61),
            "relative_drop": 0.331,
            "worst": {"name": "gaussian_noise", "severity": 5, "accuracy": 0.21},
            "corruptions": {
                name: [0.9 - 0.1 * i for i in range(5)] for name in ("gaussian_noise", "fog", "jpeg_compression")
            },
            "label": "-c(hfft)",
        },
        "attack": {
            **about(500),
            "norm": "linf",
            "radius": 0.0314,
            "figures": {"clean": fig(0.91), "fgsm": fig(0.4), "pgd20": fig(0.2), "apgd_ce": fig(0.18)},
            "curve": [[0, 0.91], [0.01, 0.6], [0.02, 0.35], [0.0314, 0.18]],
            "checks": [
                {"check": "a stronger attack leaves less", "passed": True},
                {"check": "loss grows with the radius", "passed": False},
            ],
        },
        "shift": {
            **about(),
            "groups": {
                "camera": [
                    {"group": "a", "n": 900, "accuracy": fig(0.93)},
                    {"group": "b", "n": 335, "accuracy": fig(0.71)},
                ]
            },
            "worst": {"column": "camera", "group": "b", "accuracy": fig(0.71)},
            "splits": {
                "winter": {"accuracy": fig(0.8), "gap": {"value": -0.11, "low": -0.15, "high": -0.07}, "atc": 0.79}
            },
        },
        "labels": {
            **about(),
            "doubted": [
                {"split": "train", "row": i, "given": "cat", "suggested": "dog", "confidence": 0.99 - i / 100}
                for i in range(30)
            ],
            "duplicates": [{"split": "test", "row": 4, "of_split": "train", "of_row": 9, "similarity": 0.999}],
            "leaks": {"test_in_train": 3},
        },
        "retention": {"n": 200, "before": fig(0.8), "after": fig(0.6), "task": "the old classes"},
        "representation": {
            "n": 200,
            "rows": [
                {"block": "embeddings", "cka": 0.99, "moved": 0.01},
                {"block": "block 1", "cka": 0.9, "moved": 0.05},
                {"block": "block 2", "cka": 0.5, "moved": None},
            ],
            "logme": {"before": -0.4, "after": 0.1},
        },
    }


def scorecard(**changes):
    """The content of scorecard.json; a block that is None is left out."""
    found = {**blocks(), **changes}
    return {"format": 1, "seed": 97, "blocks": {name: block for name, block in found.items() if block is not None}}


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+M8AAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)


def rows():
    """The content of rows.json."""
    image = {
        "split": "test",
        "row": 17,
        "true": "cat",
        "predicted": "dog",
        "confidence": 0.98,
        "image": PIXEL,
        "size": [1, 1],
    }
    text = {
        "split": "test",
        "row": 1234,
        "true": "dog",
        "predicted": "dog",
        "confidence": 0.501,
        "texts": ["A text <b>", "another"],
    }
    noted = {
        "split": "train",
        "row": 3,
        "true": "cat",
        "predicted": "dog",
        "confidence": 0.9,
        "note": "cannot be shown: damaged",
    }
    noted["drawn_from"] = "row 12 of train"
    lists = {"most confident mistakes": [image] * 3, "least sure": [text, image], "most doubted labels": [noted]}
    return {"format": 1, "split": "test", "n": 1235, "lists": lists}
