"""A table comes back as it was written; a damaged one gives one line with file, fault and step."""

import pandas as pd
import pytest

from rescan.errors import RescanError
from rescan.results.csv_table import Column, Table

TABLE = Table(
    "split",
    (
        Column("sample"),
        Column("part", choices=("train", "test")),
        Column("patient", empty=True),
        Column("fold", "integer", low=0),
        Column("age", "number", empty=True, optional=True),
        Column("n", "integer", empty=True, optional=True),
        Column("path_*", empty=True, optional=True),
    ),
    key=("sample", "fold"),
)
WHOLE = "sample,part,patient,fold,age,path_oct\n007,train,,0,1.5,a\nNA,test,p1,0,,\n"


def test_a_table_comes_back_as_text_and_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(WHOLE)
    frame = TABLE.read(path)
    assert frame["sample"].tolist() == ["007", "NA"]
    assert frame["patient"].tolist() == ["", "p1"]
    assert frame["fold"].dtype == "int64"
    assert frame["age"].isna().tolist() == [False, True]
    TABLE.write(tmp_path / "again.csv", frame)
    assert (tmp_path / "again.csv").read_text() == WHOLE
    assert TABLE.read_if_there(tmp_path / "none.csv") is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("007,train", "007,dev", "line 2: part is 'dev', not one of train, test"),
        ("007,train", ",train", "line 2: sample is empty"),
        ("007,train", "007,", "line 2: part is empty"),
        (",p1,0,", ",p1,zero,", "line 3: fold is 'zero', not a whole number"),
        (",p1,0,", ",p1,0.5,", "line 3: fold is 0.5, not a whole number"),
        (",p1,0,", ",p1,-1,", "line 3: fold is -1, not a whole number of at least 0"),
        (",p1,0,", ",p1,,", "line 3: fold is empty"),
        (",,0,1.5", ",,0.0,1.5", "line 2: fold is 0.0, not a whole number"),
        (",,0,1.5", ",,True,1.5", "line 2: fold is 'True', not a whole number"),
        (",,0,1.5", ",,99999999999999999999,1.5", "not a whole number"),
        (",1.5,", ",old,", "line 2: age is 'old', not a number"),
        (",1.5,", ",inf,", "line 2: age is inf, not a number"),
        (",1.5,", ",True,", "line 2: age is True, not a number"),
        (",p1,0,,", ",p1", "line 3: has 3 fields, not 6"),
        ("sample,", "name,", "the column 'sample' is missing"),
        ("age,", "mood,", "unknown column 'mood'"),
        ("NA,test", "007,test", "line 3: a second row of sample 007, fold 0"),
        ("p1,0,,\n", "p1,0", "its last line is cut off"),
        ("NA,test", "NA,test,x,y,z", "not a CSV table"),
        (WHOLE, "", "not a CSV table"),
        (WHOLE, "\x00\n", "the column 'sample' is missing"),
    ],
)
def test_a_damaged_table_gives_one_line(tmp_path, old, new, fault):
    path = tmp_path / "t.csv"
    assert old in WHOLE
    path.write_text(WHOLE.replace(old, new, 1))
    with pytest.raises(RescanError) as error:
        TABLE.read(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert fault in line
    assert line.endswith("; delete it and run split again")
    assert "\n" not in line


def test_a_table_without_rows_has_its_types_and_long_fields_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(WHOLE.partition("\n")[0] + "\n")
    frame = TABLE.read(path)
    assert frame.empty
    assert frame["fold"].dtype == "int64"
    assert frame["age"].dtype == "float64"
    path.write_text(WHOLE.replace("p1", "p" * 200_000) + "\n")
    assert TABLE.read(path)["patient"].str.len().tolist() == [0, 200_000]


def test_binary_content_and_a_missing_table_give_one_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(bytes(range(128, 256)) * 9)
    with pytest.raises(RescanError, match="not a CSV table"):
        TABLE.read(path)
    with pytest.raises(RescanError, match="no such file; run split first"):
        TABLE.read(tmp_path / "none.csv")


def test_other_columns_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="the column 'part' is missing"):
        TABLE.write(tmp_path / "t.csv", pd.DataFrame({"sample": ["a"]}))
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("value", ["0.5", "1e308", "inf", "99999999999999999999"])
def test_whole_numbers_beside_empty_fields_are_whole(tmp_path, value):
    path = tmp_path / "t.csv"
    path.write_text(f"sample,part,patient,fold,n\na,train,,0,\nb,test,,0,{value}\n")
    with pytest.raises(
        RescanError, match=r"line 3: n is [\de.+inf']*, not a whole number; delete it and run split again"
    ):
        TABLE.read(path)
    path.write_text("sample,part,patient,fold,n\na,train,,0,\nb,test,,0,7\n")
    assert TABLE.read(path)["n"].tolist()[1] == 7


def test_a_second_column_of_a_pattern_is_refused(tmp_path):
    table = Table("split", (Column("sample"), Column("path_*", optional=True)))
    (tmp_path / "t.csv").write_text("sample,path_b,path_b\na,x,y\n")
    with pytest.raises(RescanError, match="a second column 'path_b'"):
        table.read(tmp_path / "t.csv")
