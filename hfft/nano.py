"""Recreate the nano backbones that come with the package: `python -m hfft.nano [vit] [bert] [ast]`.

Each is the result of its recipe (`nano_vit`, `nano_bert`, `nano_ast`), stored in half precision to keep the package small.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
import transformers

from hfft import backbone, run
from hfft.data import builtin
from hfft.errors import BadInput
from hfft.pipeline.finetune import finetune
from hfft.recipe import load_recipe
from hfft.wording import printable

KINDS = ("vit", "bert", "ast")
VOCABULARY, LONGEST = 2000, 128


def make(kind: str) -> int:
    """Pretrain one nano backbone from random weights and put it into the package."""
    if kind not in KINDS:
        raise BadInput(f"{kind!r} is not a nano backbone; choose from {', '.join(KINDS)}")
    home = Path(backbone.source(f"nano-{kind}"))
    if kind == "bert":
        tokenizer(home)
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(f"nano_{kind}", f"training.output_dir={folder}/run")
        result = finetune(recipe)
        auto = getattr(transformers, recipe.the_task.auto_class)
        model = auto.from_pretrained(result.model, dtype=torch.float16)
        model.config.problem_type = None
        model.save_pretrained(home)
    print(printable(f"made {home}"))
    return 0


def tokenizer(home: Path) -> None:
    """Train the nano BERT's WordPiece vocabulary on the texts it will be pretrained on."""
    from tokenizers import BertWordPieceTokenizer

    words = BertWordPieceTokenizer(lowercase=True)
    texts = builtin.load("docstrings-unlabelled")["train"]["text"]
    words.train_from_iterator(list(texts), vocab_size=VOCABULARY, min_frequency=2, show_progress=False)
    transformers.BertTokenizerFast(tokenizer_object=words._tokenizer, model_max_length=LONGEST).save_pretrained(home)


if __name__ == "__main__":
    sys.exit(max(run.guarded(make, kind) for kind in sys.argv[1:] or KINDS))
