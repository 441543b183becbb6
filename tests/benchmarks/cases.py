"""The cases of the benchmark, one line each: what is fine-tuned, on how many rows, and how much sooner it must be done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A fine-tune that every side does alike: same rows, layers that learn, epochs, batch, rate and seed.

    Attributes:
        what: `train` times the training, `evaluate` the evaluation, `stream` samples memory (ours alone).
        rows, full: training rows in the usual run and with `--full`; for `evaluate` and `stream` the rows gone through.
        stock_rows: rows of `stock` in the usual run, which would else take hours; beside it ours runs once on as many.
        held_out: rows that the final metric is computed on.
        above_stock, above_tuned: floors of the ratio of times.
        stock_repeats: how often `stock` runs in the usual run.
        bound: what limits the ratio to `tuned`.
    """

    name: str
    title: str
    model: str
    data: str
    label: str
    train: str = "all"
    epochs: int = 1
    rows: int = 1024
    full: int = 5452
    stock_rows: int = 256
    held_out: int = 500
    batch: int = 32
    learning_rate: float = 1e-4
    what: str = "train"
    above_stock: float | None = None
    above_tuned: float | None = None
    stock_repeats: int = 1
    bound: str = ""

    @property
    def modality(self) -> str:
        """What a row is."""
        return "image" if "cifar" in self.data else "text"

    @property
    def column(self) -> str:
        """The column that holds it."""
        return {"uoft-cs/cifar10": "img", "stanfordnlp/sst2": "sentence"}.get(self.data, "text")


MINILM, TREC, CIFAR = (
    "sentence-transformers/all-MiniLM-L6-v2",
    ("CogComp/trec", "coarse_label"),
    ("uoft-cs/cifar10", "label"),
)
SST2 = "stanfordnlp/sst2", "label"

CASES = [
    Case("trec-all", "MiniLM on TREC, all layers, 1 epoch", MINILM, *TREC, rows=5452, stock_rows=256,
         learning_rate=3e-4, above_stock=10, above_tuned=1.0, bound="arithmetic of the real tokens"),
    Case("trec-last-2", "MiniLM on TREC, last-2, 5 epochs, cache built inside", MINILM, *TREC, "last-2", 5, rows=3072,
         stock_rows=128, learning_rate=5e-4, above_stock=15, above_tuned=1.3,
         bound="1.5: 10 units of work an epoch, 10 + 4 × 6 over five"),
    Case("trec-head", "MiniLM on TREC, head only, 20 epochs", MINILM, *TREC, "head", 20, rows=3072, stock_rows=48,
         learning_rate=1e-2, above_stock=100, above_tuned=10, bound="20: one forward pass"),
    Case("resnet-head", "ResNet on CIFAR-10 at 64 px, head only, 10 epochs", "hfft/resnet-cifar8", *CIFAR, "head", 10,
         rows=2048, full=20000, stock_rows=512, held_out=1000, learning_rate=1e-2, above_stock=8, above_tuned=6,
         bound="10: one forward pass"),
    Case("vit-last-1", "ViT (6 blocks) on CIFAR-10 at 64 px, last-1, 5 epochs", "hfft/vit-6", *CIFAR, "last-1", 5,
         rows=1024, full=20000, stock_rows=512, held_out=1000, learning_rate=5e-4, above_stock=2.5, above_tuned=1.7,
         bound="2.0: 8 units of work an epoch, 8 + 4 × 3 over five"),
    Case("evaluation", "evaluation of texts with MiniLM", MINILM, *SST2, what="evaluate", rows=2000, full=20000,
         stock_rows=500, above_stock=3, above_tuned=1.2, bound="arithmetic of the real tokens"),
    Case("stream", "memory while training from a streamed set of 1,000,000 rows", "hfft/bert-tiny", *SST2, what="stream",
         batch=256, rows=200_000, full=1_000_000),
]  # fmt: skip
