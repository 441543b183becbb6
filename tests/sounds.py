"""Tiny models that read sounds, and sounds in files, for tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
import torch
import transformers

PITCHES = {"high": 900.0, "low": 200.0}
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
WAVES = {
    **SMALL,
    "conv_dim": (8, 8, 8),
    "conv_stride": (10, 8, 4),
    "conv_kernel": (20, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
    "mask_time_length": 2,
    "vocab_size": 32,
}


def wave_model(folder: Path, kind: str = "Wav2Vec2", norm: str = "group", rate: int = 16000, **config) -> Path:
    """A model of waves; with `norm="layer"` it takes an attention mask."""
    torch.manual_seed(0)
    given = {**WAVES, "feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer", **config}
    made = getattr(transformers, f"{kind}Config")(**given)
    getattr(transformers, f"{kind}Model")(made).save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate, return_attention_mask=norm == "layer")
    extractor.save_pretrained(folder)
    return folder


def ast(folder: Path) -> Path:
    """A model of spectrograms of 32 bins and 64 frames."""
    torch.manual_seed(0)
    sizes = {"num_mel_bins": 32, "max_length": 64}
    transformers.ASTModel(transformers.ASTConfig(**SMALL, **sizes)).save_pretrained(folder)
    transformers.ASTFeatureExtractor(**sizes).save_pretrained(folder)
    return folder


def whisper(folder: Path) -> Path:
    """A Whisper of two seconds."""
    torch.manual_seed(0)
    sizes = {f"{part}_{what}": 2 for part in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    sizes |= {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "d_model": 16, "num_mel_bins": 40, "vocab_size": 60}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    off = {"suppress_tokens": None, "begin_suppress_tokens": None}
    config = transformers.WhisperConfig(**sizes, **tokens, **off, max_source_positions=100, classifier_proj_size=8)
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=40, chunk_length=2).save_pretrained(folder)
    return folder


def tone(pitch: float = 440.0, seconds: float = 0.5, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """A sine in a little noise, `(T,)`."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.02, len(t))
    return (0.4 * np.sin(2 * np.pi * pitch * t) + noise).astype(np.float32)


def file(wave: np.ndarray, rate: int = 16000, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """A sound as a file of some format."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def put(path: Path, pitch: float = 440.0, seconds: float = 0.5, rate: int = 16000, seed: int = 0) -> Path:
    """Write a tone at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file(tone(pitch, seconds, rate, seed), rate))
    return path


def folder(path: Path, varied: bool = True, train: int = 12, test: int = 4) -> Path:
    """Folders of splits and classes: high and low tones, of several rates and lengths unless not `varied`."""
    for split, count in (("train", train), ("test", test)):
        for name, pitch in PITCHES.items():
            for i in range(count):
                seconds, rate = (0.3 + 0.07 * (i % 5), (8000, 16000, 44100)[i % 3]) if varied else (0.4, 16000)
                put(
                    path / split / name / f"{name} {i}.wav",
                    pitch * (1 + 0.02 * i),
                    seconds,
                    rate,
                    i + 100 * (split == "test"),
                )
    return path
