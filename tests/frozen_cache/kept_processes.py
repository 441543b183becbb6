"""Run by a launcher: a training whose frozen layers run once per row, and the same without; writes what came out."""

import sys
from pathlib import Path

import torch

from hfft.data.texts import TextRows
from tests.frozen_cache.test_frozen_cache import losses, trained
from tests.train.test_by_length import kept_trainer, rows_of


class Watched(TextRows):
    """Texts that note which rows are read."""

    def __getitems__(self, indices):
        self.read.append(indices)
        return super().__getitems__(indices)


def by_length(folder, kept):
    """A training on texts by length, and the rows of each epoch that this process has read."""
    rows = rows_of(48)
    rows.__class__, rows.read = Watched, []
    trainer = kept_trainer(folder / "run", kept, rows)
    trainer.train()
    return trainer, rows.read


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = {}
    for name in ("bert", "resnet"):
        for kept in (None, folder / "cache"):
            trainer = trained(folder / "run", name, "last-1", kept=kept, count=22, per_device_train_batch_size=4)
            weights = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}
            found[name, kept is not None] = {
                "losses": losses(trainer),
                "weights": weights,
                "told": trainer.cache_report,
            }
    for kept in (None, folder / "cache"):
        trainer, read = by_length(folder, kept)
        found["text", kept is not None] = {"losses": losses(trainer), "read": read, "told": trainer.cache_report}
    rank = trainer.args.process_index
    torch.save({f"{name} {kept}": value for (name, kept), value in found.items()}, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
