"""A recurrent net over an embedding table, as transformers models: word vectors with an LSTM or GRU and a classifier on them.

Imports only torch and transformers: saved beside a model, it loads the model without hfft.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU}


class RnnConfig(PretrainedConfig):
    """The config of a recurrent net.

    Args:
        embedding_size: width of the embedding table.
        hidden_size: width of the states of one direction.
        rnn_type: `lstm` or `gru`.
        dropout: before each recurrent layer.
        classifier_dropout: before the classifier; None for `dropout`.
        pooling: `max` or `mean` over the words of a text, or `last`, the last state of each direction.
        initializer_range: standard deviation of an embedding table that starts at random.
    """

    model_type = "hfft_rnn"
    attribute_map = {"num_hidden_layers": "num_layers"}  # noqa: RUF012  (as everywhere in transformers)

    def __init__(
        self,
        vocab_size: int = 1000,
        embedding_size: int = 300,
        hidden_size: int = 150,
        num_layers: int = 1,
        rnn_type: str = "lstm",
        bidirectional: bool = True,
        dropout: float = 0.5,
        classifier_dropout: float | None = None,
        pooling: str = "max",
        initializer_range: float = 0.1,
        pad_token_id: int | None = 0,
        **kwargs: Any,
    ):
        self.vocab_size, self.embedding_size, self.hidden_size = vocab_size, embedding_size, hidden_size
        self.num_layers, self.rnn_type, self.bidirectional = num_layers, rnn_type, bidirectional
        self.dropout, self.classifier_dropout, self.pooling = dropout, classifier_dropout, pooling
        self.initializer_range, self.pad_token_id = initializer_range, pad_token_id
        super().__init__(**kwargs)

    @property
    def output_size(self) -> int:
        """Width of the states of all directions."""
        return self.hidden_size * (2 if self.bidirectional else 1)


class RnnLayer(nn.Module):
    """Dropout, then one recurrent layer over the real positions of each row."""

    def __init__(self, config: RnnConfig, input_size: int):
        super().__init__()
        kind = KINDS[config.rnn_type]
        self.dropout = nn.Dropout(config.dropout)
        self.rnn = kind(input_size, config.hidden_size, batch_first=True, bidirectional=config.bidirectional)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """States `(B, L, C)` of rows that begin with their `lengths` `(B,)` real positions, to `(B, L, D)`; 0 behind them."""
        # packed, so that the backward direction begins at a row's last word and not at its padding
        packed = pack_padded_sequence(self.dropout(states), lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=states.shape[1])[0]


class RnnPreTrainedModel(PreTrainedModel):
    """What the models of this file share."""

    config_class = RnnConfig
    config: RnnConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """As torch initialises these layers; the embedding table from a normal distribution."""
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, (nn.LSTM, nn.GRU, nn.Linear)):
            width = module.in_features if isinstance(module, nn.Linear) else module.hidden_size
            for parameter in module.parameters():
                init.uniform_(parameter, -(width**-0.5), width**-0.5)


class RnnModel(RnnPreTrainedModel):
    """An embedding table and recurrent layers: token ids to a state for each token."""

    def __init__(self, config: RnnConfig):
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size)
        widths = [config.embedding_size, *[config.output_size] * (config.num_layers - 1)]
        self.layers = nn.ModuleList(RnnLayer(config, width) for width in widths)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The embedding table."""
        return self.embeddings

    def set_input_embeddings(self, value: Any) -> None:
        """Replace the embedding table."""
        self.embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """States `(B, L, D)` from token ids `(B, L)`; they are 0 where `attention_mask` `(B, L)` is."""
        states = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        mask = real_positions(attention_mask, states)
        # the real positions first, whichever side is padded; a row without any keeps one, since it needs a state
        order = mask.int().argsort(dim=1, descending=True, stable=True)
        back, lengths = order.argsort(dim=1), mask.sum(1).clamp(min=1)
        seen, states = [states], placed(states, order)
        for layer in self.layers:
            states = layer(states, lengths)
            seen.append(placed(states, back))
        return BaseModelOutput(
            last_hidden_state=seen[-1],
            hidden_states=tuple(seen) if output_hidden_states else None,
        )


class RnnForSequenceClassification(RnnPreTrainedModel):
    """A linear classifier on the pooled states of a recurrent net."""

    def __init__(self, config: RnnConfig):
        super().__init__(config)
        self.model = RnnModel(config)
        chosen = config.dropout if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(chosen)
        self.classifier = nn.Linear(config.output_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits `(B, C)` from token ids `(B, L)`, and the loss if labels are given."""
        found = self.model(input_ids, attention_mask, inputs_embeds, output_hidden_states)
        states = found.last_hidden_state
        mask = real_positions(attention_mask, states)
        logits = self.classifier(self.dropout(pooled(states, mask, self.config.pooling, self.config.bidirectional)))
        loss = None if labels is None else ForSequenceClassificationLoss(labels, logits, self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=found.hidden_states)


def real_positions(attention_mask: Tensor | None, states: Tensor) -> Tensor:
    """`(B, L)`, True where a position of `states` `(B, L, C)` is no padding."""
    if attention_mask is None:
        return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    return attention_mask.bool()


def placed(states: Tensor, order: Tensor) -> Tensor:
    """The positions of each row of `states` `(B, L, C)` in an order `(B, L)`."""
    return states.gather(1, order[..., None].expand(-1, -1, states.shape[2]))


def pooled(states: Tensor, mask: Tensor, pooling: str, bidirectional: bool) -> Tensor:
    """States `(B, L, D)` reduced over their real positions to `(B, D)`; 0 for a row without any."""
    if pooling == "last":  # each direction's own: the backward one ends at the first word
        width, rows = states.shape[2], torch.arange(len(states), device=states.device)
        last = states[rows, mask.shape[1] - 1 - mask.int().flip(1).argmax(1)]
        if not bidirectional:
            return last
        return torch.cat([last[:, : width // 2], states[rows, mask.int().argmax(1), width // 2 :]], 1)
    if pooling == "max":
        lowest = torch.finfo(states.dtype).min
        found = states.masked_fill(~mask[..., None], lowest).amax(1)
        return found.masked_fill(~mask.any(1)[:, None], 0.0)
    return (states * mask[..., None]).sum(1) / mask.sum(1).clamp(min=1)[:, None]
