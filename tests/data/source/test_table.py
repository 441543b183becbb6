"""Tables: how they are written is found, every line is accounted for, and words stay words."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import os
import random
import zipfile
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from datasets import Dataset

from hfft.data.source import load_raw
from hfft.data.source.rows import read_file
from hfft.data.source.survey import read_batches, survey
from hfft.data.spec import Data
from hfft.data.tables.dialect import read_head
from hfft.errors import BadInput, DataError

ROWS = [(f"schön und gut, {i}" if i % 2 else f"übel; fad | öde {i}", "pos" if i % 2 else "neg") for i in range(40)]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, caches included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


def text(sep=",", rows=ROWS, header=("text", "label"), quoting=csv.QUOTE_MINIMAL, end="\n"):
    """A table as the csv module writes it."""
    out = io.StringIO()
    csv.writer(out, delimiter=sep, quoting=quoting, lineterminator=end).writerows([header, *rows])
    return out.getvalue()


def put(name, content, encoding="utf-8"):
    """Write a file."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return name


def cells(rows):
    """The rows as tuples."""
    return [tuple(row.values()) for row in rows]


def raw(path, **settings):
    return load_raw(Data(path=path, **settings))


def refused(path, *parts, **settings):
    """The line with which a file is refused holds these parts."""
    with pytest.raises(BadInput) as caught:
        raw(path, **settings)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line, line


# --- how a table is written

DIALECTS = {
    "comma": ("x.csv", text().encode()),
    "semicolon": ("x.csv", text(";").encode()),
    "tab in .csv": ("x.csv", text("\t").encode()),
    "bar": ("x.csv", text("|").encode()),
    "comma in .tsv": ("x.tsv", text().encode()),
    "tab in .txt": ("x.txt", text("\t").encode()),
    "all quoted": ("x.csv", text(";", quoting=csv.QUOTE_ALL).encode()),
    "mark of UTF-8": ("x.csv", codecs.BOM_UTF8 + text().encode()),
    "UTF-16": ("x.csv", text(";").encode("utf-16")),
    "UTF-32": ("x.csv", text().encode("utf-32")),
    "blank lines, CR LF": ("x.csv", b"\r\n" + text(end="\r\n\r\n").encode()),
    "CR": ("x.csv", text(end="\r").encode()),
    "no last line end": ("x.csv", text().rstrip("\n").encode()),
    "upper-case ending": ("X.CSV", text().encode()),
    "gz": ("x.csv.gz", gzip.compress(text().encode())),
    "bz2": ("x.csv.bz2", bz2.compress(text().encode())),
    "xz": ("x.TSV.xz", lzma.compress(text("\t").encode())),
}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("case", DIALECTS)
def test_a_table_gives_its_rows_however_it_is_written(case, streaming):
    name, content = DIALECTS[case]
    rows = raw(put(name, content), streaming=streaming).splits["train"]
    assert cells(rows) == ROWS
    assert list(rows.features) == ["text", "label"]


@pytest.mark.parametrize("inner", ["x.csv", "rows.tsv"])
@pytest.mark.parametrize("name", ["x.zip", "x.csv.zip"])
def test_the_only_file_of_an_archive_is_read(name, inner):
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr(inner, text("\t"))
        archive.writestr("__MACOSX/._x.csv", b"\0")
    assert cells(read_file(name)) == ROWS


@pytest.mark.parametrize(
    ("settings", "content"),
    [
        ({"encoding": "cp1252"}, text().encode("cp1252")),
        ({"encoding": "utf-16-le"}, text().encode("utf-16-le")),
        ({"sep": ":"}, text(":").encode()),
        ({"sep": "\\t"}, text("\t").encode()),
        ({"quoting": "none"}, b'text|label\n"a|x\nb"|y\n'),
    ],
)
def test_what_the_recipe_states_is_used(settings, content):
    rows = read_file(put("x.csv", content), **settings)
    assert cells(rows) == ([('"a', "x"), ('b"', "y")] if "quoting" in settings else ROWS)


@pytest.mark.parametrize(
    ("content", "settings", "parts"),
    [
        (text().encode("cp1252"), {}, ["line 2 is not UTF-8 (byte 0xfc)", "data.encoding=cp1252", "'übel"]),
        (("text,label\n" + "a,x\n" * 90_000 + "ö,y\n").encode("cp1252"), {}, ["line 90002", "data.encoding=cp1252"]),
        (b"# a\ntext,label\na,b\n", {}, ["line 2 has 2 cells, but the header has 1 ('# a')"]),
        (text().encode("utf-16-le"), {}, ["data.encoding=utf-16-le"]),
        (text().encode("utf-16-be"), {}, ["data.encoding=utf-16-be"]),
        (b"\x89PNG\0\0\1\2\3\0\1\5", {}, ["zero bytes"]),
        (text().encode(), {"encoding": "ascii"}, ["data.encoding=ascii"]),
        (text().encode(), {"sep": ";"}, ["data.sep: ';' does not occur in the header", "separated by ','"]),
        (b"", {}, ["x.csv: the file is empty"]),
        (b" \n\n", {}, ["x.csv: the file is empty"]),
        (b"text,label\n", {}, ["no rows in its split train"]),
        (text().encode() + b"one, more,pos\n", {}, ["x.csv: line 42 has 3 cells, but the header has 2"]),
        (text().encode() + b"one\ntwo\n", {}, ["line 42 has 1 cell, but the header has 2 (and 1 more such line)"]),
        (b'text,label\n"a\nb",x\n\nc,d,e\n', {}, ["line 5 has 3 cells"]),
        ("\n".join(text().splitlines()[1:]).encode(), {}, ["first line looks like a row", "'neg'"]),
        (b"5,0.5\n6,0.25\n7,0.125\n", {}, ["first line looks like a row", "'5'"]),
    ],
)
def test_a_table_that_cannot_be_read_says_why_with_file_and_line(content, settings, parts):
    refused(put("x.csv", content), *parts, **settings)


@pytest.mark.parametrize("name", ["x.txt", "x.csv", "x.jsonl"])
def test_a_byte_of_another_encoding_far_down_is_told_with_its_line(name):
    row = '{"text": "at"}' if name == "x.jsonl" else "tail"
    content = (
        "text\n" * (name == "x.csv") + f"{row}\n" * 90_000 + row.replace("at", "ät").replace("tail", "täil") + "\n"
    )
    refused(
        put(name, content, "cp1252"), name, f"line {90_001 + (name == 'x.csv')} is not UTF-8", "data.encoding=cp1252"
    )


@pytest.mark.parametrize("end", [".gz", ".bz2", ".xz", ".zip"])
def test_a_file_that_is_not_packed_as_it_says_is_refused(end):
    refused(put(f"x.csv{end}", text()), f"cannot be unpacked as {end}")


def test_how_a_table_is_written_is_told_where_its_ending_says_otherwise():
    assert raw(put("x.csv", text())).notes == ()
    assert raw(put("x.csv", text(";").encode("utf-16"))).notes == (
        "x.csv: read as a table separated by semicolon, in utf-16",
    )


def test_a_line_that_states_the_separator_is_no_header():
    assert cells(read_file(put("x.csv", "sep=;\r\n" + text(";", end="\r\n")))) == ROWS
    refused(put("x.csv", "sep=;\na;b\n1;2\n1;2;3\n"), "line 4 has 3 cells")
    refused(put("x.csv", "\n\na;b\n1;2\n1;2;3\n"), "line 5 has 3 cells")


def test_spaces_around_names_of_columns_are_left_out():
    assert read_file(put("x.csv", "text , label\na, b\n")).to_dict() == {"text": ["a"], "label": [" b"]}


# --- marks

MESSAGES = [(f"message number {i} is {'nice' if i % 2 else 'awful'}", "pos" if i % 2 else "neg") for i in range(60)]


def with_marks(*places, sep="\t", end=""):
    """A table written without quoting, in which some texts begin with a mark, and one may end with it."""
    rows = [(f'"{t}' if i in places else f'{t} 5"' if i == end else t, label) for i, (t, label) in enumerate(MESSAGES)]
    return rows, "".join(sep.join(row) + "\n" for row in [("text", "label"), *rows])


@pytest.mark.parametrize("places", [(10, 30, 47, 51), (10,), (59,), (0, 1)])
@pytest.mark.parametrize("end", ["", 40])
def test_a_lone_mark_in_a_tab_separated_table_is_a_character(places, end):
    rows, content = with_marks(*places, end=end)
    given = raw(put("t.tsv", content))
    assert cells(given.splits["train"]) == rows
    assert given.notes == (
        "t.tsv: quotation marks are read as characters, since some are not closed (data.quoting=none)",
    )


def test_a_lone_mark_far_into_a_tab_separated_table_is_a_character():
    rows = [(f"{'x' * 200} {i}", "ab"[i % 2]) for i in range(2000)]
    rows[1900] = ('"' + rows[1900][0], "b")
    rows[1950] = (rows[1950][0] + '"', "a")
    content = "".join(f"{t}\t{label}\n" for t, label in [("text", "label"), *rows])
    assert cells(read_file(put("t.tsv", content))) == rows


@pytest.mark.parametrize(("places", "end"), [((10, 30, 47, 51), ""), ((10,), ""), ((10,), 40), ((58,), 59)])
@pytest.mark.parametrize("sep", [",", ";"])
def test_a_mark_that_swallows_rows_of_a_csv_is_refused_by_line(places, end, sep):
    rows, content = with_marks(*places, sep=sep, end=end)
    refused(put("t.csv", content), f"line {places[0] + 2}", "a quotation mark that opens", "data.quoting=none")
    assert cells(read_file("t.csv", quoting="none")) == rows


def test_a_mark_that_swallows_all_that_follows_is_refused(monkeypatch):
    monkeypatch.setattr("hfft.data.source.survey.LONGEST", 1 << 21)
    content = "text,label\n" + '"a,x\n' + "b,y\n" * 1_000_000
    refused(put("t.csv", content), "line 2", "quotation mark", "data.quoting=none")


def test_a_mark_that_is_never_closed_is_refused_by_line_even_in_the_last_column():
    refused(
        put("t.csv", 'label,text\na,b\nb,"c\na,d\nb,e\n'),
        "t.csv: the quotation mark that opens in line 3 is not closed",
    )
    assert len(read_file(put("u.csv", 'label,text\na,b\nb,"c\n\nd"\n\n'))) == 2


def test_cells_of_several_lines_that_could_be_rows_are_told():
    rows = [("one, two\nthree", "four"), ("five", "six"), ("seven", "eight")]
    given = raw(put("t.csv", text(rows=rows)))
    assert cells(given.splits["train"]) == rows
    (note,) = given.notes
    assert note.startswith(
        "t.csv: a cell of several lines holds as many separators in each line as a row (line 2); if "
    )
    assert raw("t.csv", quoting="minimal").notes == ()


def test_any_table_that_the_csv_module_writes_is_read_as_it_was():
    draw = random.Random(0)
    pieces = [
        "a",
        "x y",
        '"q"',
        '5"',
        '"lead',
        ",",
        ";",
        "|",
        "\t",
        "\n",
        "\r\n",
        "é",
        "None",
        "NA",
        "",
        " ",
        "007",
        "'",
        "\\",
        "#",
    ]
    for i in range(150):
        sep, quoting = draw.choice(",;\t|"), draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        rows = [
            ("".join(draw.choices(pieces, k=draw.randint(1, 6))), draw.choice("xy")) for _ in range(draw.randint(1, 30))
        ]
        end, encoding = draw.choice(["\n", "\r\n"]), draw.choice(["utf-8", "utf-8-sig", "utf-16"])
        path = put(f"{i}.csv", text(sep, rows, quoting=quoting, end=end), encoding)
        head = read_head(path)
        found = survey(head, [""])
        types = dict.fromkeys(head.columns, pa.string())
        read = [
            tuple(row.values()) for batch in read_batches(head, found.dialect, types, [""]) for row in batch.to_pylist()
        ]
        assert read == [(t or None, label) for t, label in rows], i


@pytest.mark.parametrize("sep", [",", "\t"])
def test_a_table_with_stray_marks_never_loses_a_row_silently(sep):
    draw = random.Random(1)
    outcomes = set()
    for i in range(150):
        rows = []
        for j in range(draw.choice([4, 8, 20, 60])):
            t = draw.choices([f"text {j}", f'"text {j}', f'text {j}"', f'te"xt {j}'], [20, 1, 1, 1])[0]
            rows.append((t, draw.choice(["pos", "neg"])))
        path = put(
            f"{i}.tsv" if sep == "\t" else f"{i}.csv", "".join(sep.join(row) + "\n" for row in [("a", "b"), *rows])
        )
        try:
            found = survey(read_head(path), [""])
        except DataError:
            outcomes.add("refused")
            continue
        assert found.rows == len(rows) or found.notes, i
        outcomes.add("read" if found.rows == len(rows) else "told")
    assert outcomes >= ({"read"} if sep == "\t" else {"read", "refused"})
    assert sep != "\t" or outcomes == {"read"}


def test_the_recipe_says_that_a_mark_is_a_quote():
    rows = [("a,x\nb,y\nc", "x"), *[(f"t{i}", "xy"[i % 2]) for i in range(20)]]
    refused(put("t.csv", text(rows=rows)), "line 2 takes 3 lines", "=minimal if that is one text")
    assert cells(read_file("t.csv", quoting="minimal")) == rows


REAL_QUOTES = {
    "texts of several lines": [("a\nb", "x"), ("c\n\nd", "y"), ("e", "x"), ("f", "y")],
    "a comma in each line": [("Dear, sir\nI like, this\nBye", "x"), ("c, d\ne", "y"), ("e", "x"), ("f", "y")],
    "marks in texts": [('say "a"\nb', "x"), ('"b"', "y"), ('5"', "x"), ("f", "y")],
    "an empty text": [("", "x"), ("a\r\nb", "y"), ("c", "x"), ("d", "y")],
}


@pytest.mark.parametrize("sep", [",", "\t", ";"])
@pytest.mark.parametrize("case", REAL_QUOTES)
def test_real_quotes_are_read_as_such(case, sep):
    rows = REAL_QUOTES[case]
    expected = [(text or None, label) for text, label in rows]
    given = raw(put("x.tsv" if sep == "\t" else "x.csv", text(sep, rows)))
    assert cells(given.splits["train"]) == expected
    assert not any("quotation" in note for note in given.notes)


# --- cells


@pytest.mark.parametrize("word", ["None", "null", "NA", "N/A", "n/a", "nan", "NULL", "NaN", "-", "#N/A", "<NA>", "inf"])
def test_words_stay_words(word):
    rows = [(word if i % 3 else f"text {i}", word if i % 2 else "other") for i in range(12)]
    assert cells(read_file(put("x.csv", text(rows=rows)))) == rows


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["1", "0", "-1"], [1, 0, -1]),
        (["1", "", "3"], [1, None, 3]),
        (["0.50", "1e-3", "", "2"], [0.5, 0.001, None, 2.0]),
        (["007", "010", "100"], ["007", "010", "100"]),
        (["true", "false", ""], ["true", "false", None]),
        (["True", "False"], ["True", "False"]),
        (["1", "2", "three"], ["1", "2", "three"]),
        (["1", "NA", "3"], ["1", "NA", "3"]),
        (["+1", "-1"], ["+1", "-1"]),
        (["01.5", "1.5"], ["01.5", "1.5"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["3,5", "4,5"], ["3,5", "4,5"]),
        (["", ""], [None, None]),
        ([" 1", "2"], [" 1", "2"]),
    ],
)
def test_a_column_is_of_numbers_only_if_all_its_cells_are_written_as_numbers(given, expected, streaming):
    path = put("x.csv", text(rows=[(f"t{i}", value) for i, value in enumerate(given)]))
    values = [row["label"] for row in raw(path, streaming=streaming).splits["train"]]
    assert values == expected
    assert list(map(type, values)) == list(map(type, expected))


def test_the_recipe_says_which_cells_are_missing():
    path = put("x.csv", text(rows=[("a", "1"), ("", "NA"), ("c", "-"), ("d", "4")]))
    assert cells(read_file(path, missing=["", "NA", "-"])) == [("a", 1), (None, None), ("c", None), ("d", 4)]
    assert cells(read_file(path, missing=[])) == [("a", "1"), ("", "NA"), ("c", "-"), ("d", "4")]


def test_a_number_far_down_and_in_another_split_decides_the_type_of_a_column():
    rows = [(f"t{i}", "1") for i in range(30_000)]
    put("train.csv", text(rows=[*rows, ("t", "007")]))
    put("test.csv", text(rows=rows[:5]))
    splits = raw("csv", data_files={"train": "train.csv", "test": "test.csv"}).splits
    assert splits["train"][0]["label"] == splits["test"][0]["label"] == "1"
    assert splits["train"][-1]["label"] == "007"


def test_a_streamed_cell_that_is_no_number_far_down_is_told(monkeypatch):
    monkeypatch.setattr("hfft.data.source.table.STREAM_HEAD", 1 << 16)
    rows = [("x" * 1000, "1")] * 2000
    path = put("x.csv", text(rows=[*rows, ("t", "one")]))
    with pytest.raises(DataError, match=r"x\.csv: .*'one'.*data\.streaming"):
        sum(1 for _ in raw(path, streaming=True).splits["train"])


def test_columns_without_names_and_with_the_same_name_are_named_apart():
    rows = read_file(put("x.csv", ",a,a\n0,b,c\n1,d,e\n"))
    assert rows.column_names == ["Unnamed: 0", "a", "a.1"]
    assert read_file(put("y.csv", "0,1\n5,6\n7,8\n")).column_names == ["0", "1"]


# --- files and folders


def test_files_of_a_split_may_be_written_differently_but_have_the_same_columns():
    put("a.csv", text(rows=ROWS[:20]))
    put("b.csv", text(";", rows=[(label, t) for t, label in ROWS[20:]], header=("label", "text")).encode("utf-16"))
    assert cells(raw("csv", data_files=["a.csv", "b.csv"]).splits["train"]) == ROWS
    assert cells(raw("*.csv", streaming=True).splits["train"]) == ROWS
    put("c.csv", text(header=("text", "class")))
    refused("csv", "c.csv: its columns are not those of a.csv", "class, label", data_files=["a.csv", "c.csv"])


def test_a_changed_file_is_read_anew_and_an_unchanged_one_from_the_cache(tmp_path):
    path = put("x.csv", text(rows=ROWS[:6]))
    first = raw(path).splits["train"]
    assert raw(path).splits["train"].cache_files == first.cache_files
    put("x.csv", text(rows=[(t, "new") for t, _ in ROWS[:6]]))
    os.utime("x.csv", ns=(1, 1))
    assert raw(path).splits["train"][0]["label"] == "new"


FOLDERS = {
    "whole names": (["train.csv", "dev.csv", "test.csv"], {"train": 1, "validation": 1, "test": 1}, []),
    "any case": (["Train.csv", "VAL.CSV"], {"train": 1, "validation": 1}, []),
    "parts": (["data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv"], {"train": 2}, []),
    "parts of another name": (["extra-00000-of-00001.csv"], {"extra": 1}, []),
    "folders": (["train/a.csv", "train/b.csv", "test/a.csv"], {"train": 2, "test": 1}, []),
    "other folders": (["a/x.csv", "b/x.csv"], {"train": 2}, []),
    "a word in a name": (
        ["my_train_set.csv", "more.csv"],
        {"train": 2},
        ["d: all 2 files are read as train: more.csv, my_train_set.csv"],
    ),
    "a word within a word": (["latest.csv", "retrained.csv"], {"train": 2}, []),
    "one beside splits": (
        ["train.csv", "test.csv", "sample_submission.csv"],
        {"train": 1, "test": 1},
        [
            "d: 1 file is left out (sample_submission.csv): named after no split while others are; list them in "
            "data.data_files to read them"
        ],
    ),
    "other kinds": (
        ["a.csv", "b.tsv", "c.json", "notes.md", "README.md", ".hidden.csv"],
        {"train": 2},
        ["d: 2 files are left out (c.json, notes.md): not csv files, of which 2 are read"],
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_the_whole_names_of_files_and_folders_name_splits_and_no_file_goes_missing_silently(case):
    files, sizes, notes = FOLDERS[case]
    for name in files:
        put(f"d/{name}", text("\t" if name.endswith(".tsv") else ",", rows=ROWS[:4]))
    given = raw("d")
    assert {split: len(rows) // 4 for split, rows in given.splits.items()} == sizes
    assert list(given.notes) == notes


def test_the_files_that_a_readme_lists_are_read_by_the_same_rules():
    configs = "configs:\n- config_name: one\n  sep: ';'\n  data_files:\n  - {split: train, path: a.csv}\n"
    put("d/README.md", f"---\n{configs}  - {{split: odd, path: b.csv}}\n---\n")
    for name in ("a.csv", "b.csv", "c.csv"):
        put(f"d/{name}", text(";", rows=[("NA", "007"), ("b, c", "None")]))
    splits = raw("d", name="one").splits
    assert list(splits) == ["train", "odd"]
    assert cells(splits["train"]) == cells(splits["odd"]) == [("NA", "007"), ("b, c", "None")]


@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        ("d/a.csv", {"data_files": "b.csv"}, "data.data_files: data.path is already a file, d/a.csv"),
        ("csv", {"data_files": "d"}, "data.data_files: 'd' is a folder"),
        ("csv", {"data_files": "d/c.csv"}, "data.data_files: no file 'd/c.csv'; did you mean"),
        ("json", {"data_dir": "d"}, "data.data_dir: d holds no json files (csv)"),
    ],
)
def test_files_that_are_listed_wrongly_are_refused(path, settings, message):
    put("d/a.csv", text())
    put("d/b.csv", text())
    refused(path, message, **settings)
    assert len(raw("csv", data_dir="d").splits["train"]) == 80


def test_files_that_would_be_other_splits_by_words_in_their_names_are_asked_about():
    put("d/imdb_train.csv", text())
    put("d/imdb_test.csv", text())
    refused("d", "which files are in which split (imdb_test.csv, imdb_train.csv)?", "data.data_files=")
    files = {"train": "imdb_train.csv", "test": "imdb_test.csv"}
    assert {s: len(rows) for s, rows in raw("d", data_files=files).splits.items()} == {"train": 40, "test": 40}


@pytest.mark.parametrize("path", ["x.dat", "x.doc.gz", "x"])
def test_a_file_of_unknown_kind_is_refused_as_a_file_with_the_known_endings(path):
    refused(put(path, text()), f"the ending of file {path!r} is not known", ".csv", ".xlsx", ".gz")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "data.path: no file 'none.csv'; use an existing file"),
        ("none.XLSX", "data.path: no file 'none.XLSX'; use an existing file"),
        ("none.csv.gz", "data.path: no file 'none.csv.gz'; use an existing file"),
        ("runs/x/data", "data.path: no folder 'runs/x/data'; use an existing folder"),
        ("here/x", "data.path: no folder 'here/x'; use an existing folder"),
        ("here/tabel", "data.path: no folder 'here/tabel'; did you mean 'table'?"),
        ("elsewhere/x/", "data.path: no folder 'elsewhere/x/'; use an existing folder"),
        ("~/none", "data.path: no folder '~/none'; use an existing folder"),
        ("*.csv", "data.path: no file matches '*.csv'; use an existing file"),
    ],
)
def test_a_path_that_does_not_exist_is_told_as_such(path, message):
    Path("here/table").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        raw(path)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("x.parquet", {"sep": ";"}),
        ("x.parquet", {"field": "a"}),
        ("x.csv", {"field": "a"}),
        ("x.jsonl", {"quoting": "none"}),
    ],
)
def test_a_key_that_does_not_apply_to_a_kind_of_file_is_refused(name, settings):
    Dataset.from_dict({"text": ["a"]}).to_parquet("x.parquet")
    put("x.csv", text())
    put("x.jsonl", '{"text": "a"}\n')
    refused(name, f"data.{next(iter(settings))}: does not apply to", **settings)


# --- spreadsheets


def workbook(path, *sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for i, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet{i + 1}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_sheet_of_an_excel_file_is_read(streaming):
    rows = [("text", "label", "n", "id"), ("a", True, 1, "007"), ("NA", False, 2.5, "008"), (None, None, None, None)]
    path = workbook("x.XLSX", [*rows, ("c", True, None, "009")], [("other",), (1,)])
    given = raw(path, streaming=streaming)
    expected = [("a", "true", 1.0, "007"), ("NA", "false", 2.5, "008"), ("c", "true", None, "009")]
    assert cells(given.splits["train"]) == expected
    assert given.notes == ("x.XLSX: only its first sheet 'Sheet1' is read (it has: Sheet1, Sheet2)",)


def test_an_excel_file_that_cannot_be_read_is_refused_in_one_line(monkeypatch):
    refused(workbook("x.xlsx", [("text", "label"), ("a", "b", "c")]), "x.xlsx: row 2 has more cells than the header")
    refused(workbook("x.xlsx", []), "x.xlsx: sheet 'Sheet1' is empty")
    refused(put("y.xlsx", b"PK\x03\x04" + bytes(200)), "y.xlsx: is not an Excel file")
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    refused("x.xlsx", "pip install 'hfft[excel]'")


# --- JSON


NESTED = {"version": 1, "data": {"rows": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]}, "a.b": [{"t": 1}]}


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_under_a_key_of_json_are_read(streaming):
    put("x.json", json.dumps(NESTED))
    assert cells(raw("x.json", field="data.rows", streaming=streaming).splits["train"]) == [("a", "x"), ("b", "y")]
    assert cells(read_file("x.json", field="a.b")) == [(1,)]
    put("y.json.gz", gzip.compress(json.dumps({"d": {"text": ["a", "b"], "n": [1, 2]}}).encode()))
    assert cells(read_file("y.json.gz", field="d")) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("date", "data.field: no key 'date' in x.json; did you mean 'data'? (it has: version, data, a.b)"),
        ("data.row", "data.field: no key 'row' under 'data'; did you mean 'rows'? (it has: rows)"),
        ("version", "data.field: 'version' in x.json is a number, not a list of rows; name the key of the rows"),
        ("data.rows.text", "data.field: no key 'text' under 'data.rows' (there is a list of JSON objects)"),
    ],
)
def test_a_key_of_json_that_is_not_there_is_told_with_those_that_are(field, message):
    put("x.json", json.dumps(NESTED))
    with pytest.raises(DataError) as caught:
        read_file("x.json", field=field)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["x.jsonl", "X.JSONL", "x.jsonl.gz", "x.ndjson", "x[1].jsonl"])
def test_json_lines_are_read_whatever_the_case_of_the_ending(name):
    content = codecs.BOM_UTF8 + "".join(json.dumps({"text": t, "label": v}) + "\n" for t, v in ROWS).encode()
    put(name, gzip.compress(content) if name.endswith(".gz") else content)
    assert cells(read_file(name)) == ROWS


def test_parquet_in_a_folder_keeps_its_loader(tmp_path):
    Dataset.from_dict({"text": ["None", "b"], "label": [1, None]}).to_parquet("train.parquet")
    assert cells(raw("train.parquet").splits["train"]) == [("None", 1), ("b", None)]
