"""Which rows each process trains on in two epochs of a stream: accelerate launch … seen.py RECIPE FOLDER COUNT."""

import itertools
import json
import sys
from pathlib import Path

import torch

from hfft.pipeline.build import build_run
from hfft.recipe import load_recipe
from hfft.train import training_arguments


def main(name: str, folder: Path, count: int, *overrides: str) -> None:
    recipe = load_recipe(name, *overrides)
    arguments = training_arguments(recipe)
    trainer = build_run(recipe, arguments).trainer
    loader = trainer.get_train_dataloader()
    at_once = arguments.train_batch_size * arguments.world_size
    sized = recipe.data.max_train_samples is not None
    seen = []  # batch by batch
    for epoch in (0, 1) if sized else (0,):
        loader.set_epoch(epoch)
        for batch in loader if sized else itertools.islice(loader, -(-2 * count // at_once)):
            batches = [batch]
            trainer._get_num_items_in_batch(batches, arguments.device)
            rows = batches[0]["input_ids"].tolist()[: batches[0].get("num_own_rows")]
            seen.append([[token for token in row if token] for row in rows])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seen-{arguments.process_index}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
