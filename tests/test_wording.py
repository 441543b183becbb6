"""Sizes as people write them, and as they are told."""

import pytest

from hfft import wording


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 MB", 1_500_000), ("800B", 800), ("2tb", 2 * 10**12), ("1 kB", 1000)]
)
def test_a_size_is_read(text, size):
    assert wording.size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["20", "GB", "-1GB", "0GB", "twenty GB", "20 GiB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size such as 20GB"):
        wording.size_in_bytes(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (20e9, "20 GB")])
def test_a_size_is_told(size, text):
    assert wording.human(size) == text
