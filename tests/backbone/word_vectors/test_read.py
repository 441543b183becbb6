"""Files of word vectors: every format gives the same words and numbers, and a damaged one is refused in one line."""

import gzip
import zipfile

import numpy as np
import pytest

from hfft.backbone.word_vectors.read import read_vectors
from hfft.errors import DataError

WORDS = ["the", "film", "Good", "n't", ".", "naïve"]
VECTORS = np.arange(24, dtype=np.float32).reshape(6, 4) / 8 - 1.5


def lines(words=WORDS, vectors=VECTORS):
    """The lines of GloVe's format."""
    return [f"{word} {' '.join(str(x) for x in vector)}" for word, vector in zip(words, vectors, strict=True)]


def text(header="", words=WORDS, vectors=VECTORS, end=""):
    """The bytes of a text file."""
    return (header + "".join(f"{line}{end}\n" for line in lines(words, vectors))).encode()


def binary(words=WORDS, vectors=VECTORS, end=b"\n", count=None):
    """The bytes of word2vec's format, with or without the line ends of its own tool."""
    head = f"{len(words) if count is None else count} {vectors.shape[1]}\n".encode()
    return head + b"".join(
        word.encode() + b" " + vector.tobytes() + end for word, vector in zip(words, vectors, strict=True)
    )


def saved(folder, name, content):
    """A file of these bytes, packed as its name says."""
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.txt", content)
    else:
        path.write_bytes(content)
    return path


FILES = {
    "glove.txt": text(),
    "glove.zip": text(),
    "glove.txt.gz": text(),
    "word2vec.txt": text("6 4\n"),
    "fasttext.vec": text("6 4\n", end=" "),
    "windows.txt": text().replace(b"\n", b"\r\n"),
    "blank.txt": text() + b"\n\n",
    "word2vec.bin": binary(),
    "gensim.bin": binary(end=b""),
    "word2vec.bin.gz": binary(),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same(name, tmp_path):
    found = read_vectors(saved(tmp_path, name, FILES[name]), first=100)
    assert found.words == tuple(WORDS)
    assert found.matrix.dtype == np.float32
    assert found.width == 4
    np.testing.assert_array_equal(found.matrix, VECTORS)
    assert found.cased


@pytest.mark.parametrize("name", ["glove.txt", "word2vec.bin"])
def test_the_first_words_are_kept_and_those_that_are_asked_for_in_the_order_of_the_file(name, tmp_path):
    path = saved(tmp_path, name, FILES[name])
    found = read_vectors(path, 2, ("NAÏVE", "Good", "nowhere"))
    assert found.words == ("the", "film", "Good", "naïve")
    np.testing.assert_array_equal(found.matrix, VECTORS[[0, 1, 2, 5]])
    few = read_vectors(path, 2)
    assert few.words == ("the", "film")
    assert not few.cased  # nothing behind them is read


def test_words_may_hold_spaces_and_the_first_of_two_alike_counts(tmp_path):
    words = ["the", ". .", "at name@x.com", "the", "7"]
    found = read_vectors(saved(tmp_path, "v.txt", text(words=words, vectors=VECTORS[:5])), 9)
    assert found.words == ("the", ". .", "at name@x.com", "7")
    np.testing.assert_array_equal(found.matrix, VECTORS[[0, 1, 2, 4]])


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = saved(tmp_path, "v.txt", text())
    assert read_vectors(path, 9).words[0] == "the"
    path.write_bytes(text(words=["a", *WORDS[1:]]))
    assert read_vectors(path, 9).words[0] == "a"


def changed(at, line):
    """The lines with another one, as bytes."""
    found = lines()
    found[at] = line
    return "\n".join(found).encode()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("v.txt", b"", "v.txt is empty"),
        ("v.txt", b"\n\n", "v.txt has no word vectors"),
        ("v.txt", b"hello\n", "line 1 is not a word with its vector"),
        (
            "v.txt",
            changed(3, "n't 1 2 3"),
            "line 4 has 3 numbers, the first vector 4; download the file again, or drop",
        ),
        ("v.txt", changed(3, "n't 1 2 3 4 5"), "line 4 has 5 numbers, the first vector 4"),
        ("v.txt", changed(3, ". . 1 2 3"), "line 4 has 3 numbers, the first vector 4"),
        ("v.txt", changed(5, "naïve"), "line 6 has 0 numbers, the first vector 4"),
        ("v.txt", changed(2, "Good 1 2 x 4"), "line 3 has a value that is no finite number"),
        ("v.txt", changed(2, "Good 1 2 nan 4"), "line 3 has a value that is no finite number"),
        ("v.vec", text("7 4\n"), "v.vec ends after 6 of its 7 words; download it again"),
        ("v.bin", binary(count=7), "v.bin ends after 6 of its 7 words"),
        ("v.bin", binary()[:-9], "v.bin ends after 5 of its 6 words"),
        ("v.bin", text(), "v.bin does not begin with its numbers of words and dimensions"),
        ("v.bin", (793712314).to_bytes(4, "little") * 9, r"fastText's own format; use the file of its vectors, \.vec"),
        ("v.bin", binary(vectors=np.full_like(VECTORS, np.inf)), "word 1 has a value that is no finite number"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(name, content, said, tmp_path):
    with pytest.raises(DataError, match=said) as caught:
        read_vectors(saved(tmp_path, name, content), 100, ("a",))
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_archive_and_one_of_several_files_are_refused(tmp_path):
    packed = saved(tmp_path, "v.txt.gz", text() * 50)
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"v.txt.gz cannot be read \(.*\); download it again"):
        read_vectors(packed, 10_000, ("a",))
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"x\.zip cannot be read"):
        read_vectors(tmp_path / "x.zip", 9)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a.txt", "b.txt"):
            archive.writestr(name, text())
    with pytest.raises(DataError, match=r"two\.zip holds 2 files; unzip it, and name one of them"):
        read_vectors(tmp_path / "two.zip", 9)
