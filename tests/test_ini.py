"""INI files: what each way of writing means, and what is wrong with a line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gripproxy import ini
from gripproxy.errors import ConfigError


def entries(text):
    file = ini.read(text, "f.conf")
    assert file.errors == ()
    return [(entry.section, entry.key, *entry.values) for entry in file.entries]


def values(text):
    (entry,) = ini.read(f"[s]\nk={text}", "f.conf").entries
    return entry.values


def errors(text):
    return [str(error) for error in ini.read(text, "f.conf").errors]


# Lines


def test_an_empty_file_says_nothing():
    assert entries("") == []


def test_blank_lines_and_comments_are_skipped():
    assert entries('\n \t\n# a=b\n ; c=d\n  # "\n; \\\n[s]\nk=v') == [("s", "k", "v")]


def test_a_quote_in_a_comment_opens_nothing():
    assert entries('[s]\n# use the "base64: prefix\nk=v') == [("s", "k", "v")]


def test_a_backslash_at_the_end_of_a_comment_continues_nothing():
    assert entries("[s]\n# no \\\nk=v") == [("s", "k", "v")]


def test_blanks_around_section_key_and_value_are_trimmed():
    assert entries("  [ s\t]  \n\t k \t=  v w \t") == [("s", "k", "v w")]


def test_a_section_may_lack_its_bracket():
    assert entries("[s\nk=v") == [("s", "k", "v")]


def test_a_comment_may_stand_behind_a_section():
    assert entries("[s] # one\n[t] ; two\nk=v") == [("t", "k", "v")]


def test_the_sections_are_told_with_their_lines():
    file = ini.read("\n[b]\n\n[a]\n[b]", "f.conf")
    assert file.sections == (("b", 2), ("a", 4), ("b", 5))


def test_names_keep_their_case():
    assert entries("[S]\nKey=v") == [("S", "Key", "v")]


def test_the_first_equals_sign_splits():
    assert entries("[s]\na=b=c") == [("s", "a", "b=c")]


def test_a_key_may_stand_before_the_first_section():
    assert entries("k=v") == [("", "k", "v")]


def test_the_same_key_twice_is_told_twice():
    assert entries("[s]\nk=1\nk=2") == [("s", "k", "1"), ("s", "k", "2")]


def test_keys_are_percent_decoded_and_values_are_not():
    assert entries("[s]\npush%5Fin=%41\na%U00e9%zz=1") == [
        ("s", "push_in", "%41"),
        ("s", "aé%zz", "1"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_line_end_ends_a_line(end):
    assert entries(f"[s]{end}a=1{end}{end}b=2{end}") == [("s", "a", "1"), ("s", "b", "2")]


def test_a_byte_order_mark_is_skipped():
    assert entries("\ufeff[s]\nk=v") == [("s", "k", "v")]


def test_lines_are_numbered_from_one_by_where_they_begin():
    file = ini.read('# c\r\n[s]\n\na=1\\\n  2\nb="x\ny"\nc=3', "f.conf")
    assert [(entry.key, entry.line) for entry in file.entries] == [("a", 4), ("b", 6), ("c", 8)]


# Values


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", ""),
        ("foo bar  ", "foo bar"),
        ('"foo bar  "', "foo bar  "),
        ('" foo"  ', " foo"),
        ('foo"bar"baz', "foobarbaz"),
        ('foo "bar" baz', "foo barbaz"),
        ('a"b"  c  ', "abc  "),
        ("'x'", "'x'"),
        ("foo ; text", "foo"),
        (";", ""),
        ('"foo;bar"', "foo;bar"),
        (r"foo\;bar", "foobar"),
        ("foo # text", "foo # text"),
        (r"a\tb", "a\tb"),
        (r"\a\b\f\n\r\v", "\a\b\f\n\r\v"),
        (r"\\ \" \' \?", "\\ \" ' ?"),
        (r"\x41", "A"),
        (r"\x41ba", "\u41ba"),
        (r"\x41z", "Az"),
        (r"a\xz", "az"),
        (r"\101\60", "A0"),
        (r"\xd83d\xde00", "😀"),
        (r"\x1f600", "😀"),
        (r"C:\dir", "C:ir"),
        ("a\\\nb", "ab"),
        ("a\\\r\nb", "ab"),
        ("a\\\n  b", "a  b"),
        ("a\\", "a"),
        (r"foo\x20", "foo "),
        ("é", "é"),
        ('"two\nlines"', "two\nlines"),
        ("@Invalid()", ""),
        (r"@Variant(\0\x1)".replace("\\0", ""), ""),
        ("@ByteArray(abc)", "abc"),
        ("@@x", "@x"),
        ("@x", "@x"),
        ("@ByteArray(abc", "@ByteArray(abc"),
        ("@Size(1 2)", "@Size(1 2)"),
    ],
)
def test_a_value_is_read(written, read):
    assert values(written) == (read,)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a,b", ("a", "b")),
        (" a , b ", ("a", "b")),
        ('" a" ,b ', (" a", "b")),
        (",b", ("", "b")),
        ("a,", ("a", "")),
        ("a,\\\nb", ("a", "b")),
        ("a,@@b", ("a", "@b")),
    ],
)
def test_an_unquoted_comma_makes_a_list(written, read):
    assert values(written) == read


@pytest.mark.parametrize("written", ['"a,b"', 'a","b'])
def test_a_quoted_comma_does_not(written):
    assert values(written) == ("a,b",)


# What is wrong


def test_a_line_that_is_neither_section_nor_option_is_an_error():
    assert errors("[s]\nk=v\n!!garbage") == [
        'f.conf:3: "!!garbage" is neither [section] nor option=value'
    ]


def test_what_comes_after_such_a_line_is_read_all_the_same():
    file = ini.read("[s]\nkey: value\nk=v", "f.conf")
    assert len(file.errors) == 1
    assert [entry.key for entry in file.entries] == ["k"]


def test_all_lines_that_are_wrong_are_told():
    assert len(errors("a\nb\n=c")) == 3


def test_a_name_is_missing():
    assert errors(" = v") == ['f.conf:1: no option\'s name before "= v"']


def test_text_behind_a_section_would_be_lost():
    assert errors("[s] k=v") == ['f.conf:1: "k=v" behind "]" is lost; begin a new line for it']


def test_a_quote_that_is_never_closed_is_told_where_it_begins():
    assert errors('[s]\na=1\nb="2\nc=3\n') == [
        'f.conf:3: a quote (") begins here and is never closed'
    ]


@pytest.mark.parametrize("text", ['[s\n"', '"', 'k=a\\"b"', '"k=\\'])
def test_no_quote_is_never_closed_without_a_word(text):
    assert "never closed" in errors(text)[0]


def test_an_equals_sign_in_quotes_does_not_split():
    assert errors('"a=b"') == [
        r"""f.conf:1: "\"a=b\"" is neither [section] nor option=value""".replace("\\", "")
    ]


@pytest.mark.parametrize("written", [r"\x0", r"\0", r"\x110000", r"\777777777"])
def test_a_number_without_a_character_is_an_error(written):
    assert "there is no character with the number" in errors(f"k={written}")[0]


def test_half_a_character_is_an_error():
    assert errors(r"k=\xd83d") == [
        "f.conf:1: half a character: the other half of the pair is missing"
    ]


# What errors show


def test_a_long_text_is_cut():
    assert ini.shown("a" * 100) == f'"{"a" * 57}..."'


def test_a_text_stays_on_one_line():
    assert ini.shown("a\nb\x1b") == r'"a\nb\x1b"'


# For all texts

PIECES = st.sampled_from(
    [
        "a",
        "k=",
        "[s]",
        "[",
        "]",
        '"',
        "\\",
        ",",
        ";",
        "#",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\\x",
        "\\7",
        "@",
    ]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_every_text_is_read_or_told_to_be_wrong(text):
    file = ini.read(text, "f.conf")
    assert all(isinstance(error, ConfigError) for error in file.errors)
    assert all(entry.key and entry.values for entry in file.entries)


def quoted(value):
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


PLAIN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(deadline=None)
@given(st.lists(PLAIN.filter(lambda text: not text.startswith("@")), min_size=1))
def test_what_is_written_with_quotes_is_read_back(elements):
    assert values(",".join(map(quoted, elements))) == tuple(elements)
