"""Settings: who says what, and who of them counts."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gripproxy import settings
from gripproxy.errors import ConfigErrors
from gripproxy.settings import Settings

PORT = ("handler", "push_in_http_port")
RUNDIR = ("global", "rundir")


@pytest.fixture
def said():
    return Settings()


@pytest.fixture
def file(tmp_path):
    def write(text, name="x.conf"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def value(said, name):
    setting = said.setting(name)
    return None if setting is None else setting.written.text


def errors(said):
    return [str(error) for error in said.errors]


# Files


def test_an_option_of_a_file_has_its_line(said, file):
    path = file("[handler]\n\npush_in_http_port=1\n")
    said.take_file(path)
    setting = said.said(PORT)
    assert setting.written.text == "1"
    assert str(setting.error("is odd")) == f"{path}:3: [handler] push_in_http_port: is odd"


def test_the_later_of_two_values_counts_also_across_sections(said, file):
    said.take_file(file("[handler]\npush_in_http_port=1\n[proxy]\n[handler]\npush_in_http_port=2"))
    assert value(said, PORT) == "2"


def test_a_list_has_no_text(said, file):
    said.take_file(file("[runner]\nhttp_port=1,2\n"))
    written = said.said(("runner", "http_port")).written
    assert written.text is None
    assert written.elements == ("1", "2")


def test_what_pushpin_says_of_its_own_processes_is_known(said, file):
    said.take_file(file("[proxy]\ncondure_in_specs=ipc://x\nupdates_check=off\n"))
    assert said.errors == []


@pytest.mark.parametrize(
    ("text", "said_of_it"),
    [
        (
            "[runner]\nclient_maxcon=1",
            '2: unknown option "client_maxcon" in [runner]; did you mean "client_maxconn"?',
        ),
        (
            "[runner]\nzzz=1",
            '2: unknown option "zzz" in [runner]; the sections are global, runner, proxy, '
            "handler, cache, cluster",
        ),
        ("[proxy]\nhttp_port=1", '2: option "http_port" in [proxy]; it belongs in [runner]'),
        ("http_port=1", '1: option "http_port" in no section; it belongs in [runner]'),
        ("[General]\nhttp_port=1", '2: option "http_port" in no section; it belongs in [runner]'),
        ("[Handler]\npush_in_spec=x", '1: unknown section "Handler"; did you mean [handler]?'),
        (
            "[zurl]\nx=1",
            '1: unknown section "zurl"; the sections are global, runner, proxy, handler, cache, '
            "cluster",
        ),
    ],
)
def test_a_name_that_is_not_known_has_a_hint(said, file, text, said_of_it):
    path = file(text)
    said.take_file(path)
    assert errors(said) == [f"{path}:{said_of_it}"]


def test_an_empty_general_section_is_fine(said, file):
    said.take_file(file("[General]\n"))
    assert said.errors == []


def test_all_that_is_wrong_with_names_is_told(said, file):
    said.take_file(file("x\n[nope]\n[runner]\na=1\nb=2"))
    assert len(said.errors) == 4


def test_a_file_that_cannot_be_read(said, tmp_path):
    with pytest.raises(ConfigErrors, match=r"failed to open .*: Is a directory"):
        said.take_file(str(tmp_path))


def test_a_path_that_no_system_takes(said):
    with pytest.raises(ConfigErrors, match="failed to open"):
        said.take_file("a\0b")


def test_a_file_in_another_encoding(said, file):
    path = file(b"[proxy]\n# fine\nvia=k\xf6ln\n")
    with pytest.raises(ConfigErrors) as raised:
        said.take_file(path)
    assert str(raised.value) == f"{path}:3: what stands here is not UTF-8"


# Include


def test_an_included_file_is_asked_where_the_main_one_says_nothing(said, file, tmp_path):
    file("[handler]\npush_in_http_port=1\n[proxy]\nvia=included", "more.conf")
    said.take_file(file("[global]\ninclude=more.conf\n[proxy]\nvia="))
    said.take_included(str(tmp_path))
    assert value(said, PORT) == "1"
    assert value(said, ("proxy", "via")) == ""


def test_variables_are_replaced_in_its_name(said, file, tmp_path):
    file("[handler]\npush_in_http_port=1", "more.conf")
    said.take_file(file(f"[global]\nlibdir={tmp_path}\ninclude={{libdir}}/more.conf"))
    said.take_included("")
    assert value(said, PORT) == "1"


@pytest.mark.parametrize("text", ["", "[global]\ninclude="])
def test_no_file_need_be_included(said, file, text):
    said.take_file(file(text))
    said.take_included("")
    assert said.errors == []


def test_an_included_file_must_be_there(said, file, tmp_path):
    path = file("[global]\ninclude=none.conf")
    said.take_file(path)
    said.take_included(str(tmp_path))
    assert errors(said) == [f"{path}:2: [global] include: there is no file {tmp_path}/none.conf"]


def test_an_included_file_must_be_readable(said, file, tmp_path):
    included = file(b"\xff", "more.conf")
    said.take_file(file("[global]\ninclude=more.conf"))
    said.take_included(str(tmp_path))
    assert errors(said) == [f"{included}:1: what stands here is not UTF-8"]


def test_what_is_wrong_in_an_included_file_is_told(said, file, tmp_path):
    included = file("[handler]\nnope=1", "more.conf")
    said.take_file(file("[global]\ninclude=more.conf"))
    said.take_included(str(tmp_path))
    assert errors(said)[0].startswith(f'{included}:2: unknown option "nope"')


def test_includes_do_not_nest(said, file, tmp_path):
    included = file("[global]\ninclude=third.conf", "more.conf")
    said.take_file(file("[global]\ninclude=more.conf"))
    said.take_included(str(tmp_path))
    assert said.notices == [f"{included}: an included file includes no other"]


@pytest.mark.parametrize("name", ["internal.conf", "sub/internal.conf", "{libdir}/internal.conf"])
def test_the_file_of_internal_endpoints_need_not_be_there(said, file, tmp_path, name):
    said.take_file(file(f"[global]\nlibdir={tmp_path}/none\ninclude={name}"))
    said.take_included(str(tmp_path))
    assert said.errors == []


def test_the_file_of_internal_endpoints_sets_nothing(said, file, tmp_path):
    (tmp_path / "sub").mkdir()
    included = file(
        "garbage\n[nope]\n[proxy]\ncondure_in_specs=x\n[handler]\npush_in_http_port=1",
        "sub/internal.conf",
    )
    said.take_file(file("[global]\ninclude=sub/internal.conf"))
    said.take_included(str(tmp_path))
    assert said.errors == []
    assert value(said, PORT) is None
    assert said.notices == [
        f"{included}:6: [handler] push_in_http_port: ignored here; write it into the main file"
    ]


# Environment


def test_a_variable_is_named_like_its_option(said):
    said.take_environ({"GRIPPROXY_HANDLER_PUSH_IN_HTTP_PORT": "5571"})
    setting = said.said(PORT)
    assert setting.written.text == "5571"
    assert str(setting.error("is odd")) == "GRIPPROXY_HANDLER_PUSH_IN_HTTP_PORT: is odd"


def test_a_variable_has_no_quoting(said):
    said.take_environ({"GRIPPROXY_PROXY_SIG_KEY": 'a";\\b, c '})
    written = said.said(("proxy", "sig_key")).written
    assert written.text == 'a";\\b, c '
    assert written.elements == ('a";\\b', "c")


def test_a_variable_with_the_name_of_a_section_must_be_an_option(said):
    said.take_environ({"GRIPPROXY_HANDLER_PUSH_PORT": "1", "GRIPPROXY_CACHE_ZZZZZZZZZZZZ": "1"})
    assert errors(said) == [
        "GRIPPROXY_CACHE_ZZZZZZZZZZZZ: unknown option; the sections are global, runner, proxy, "
        "handler, cache, cluster",
        "GRIPPROXY_HANDLER_PUSH_PORT: unknown option; did you mean "
        "GRIPPROXY_HANDLER_PUSH_IN_SPEC?",
    ]


@pytest.mark.parametrize(
    "variable",
    [
        "GRIPPROXY_SERVICE_HOST",
        "GRIPPROXY_PORT_7999_TCP",
        "GRIPPROXY_CONFIG",
        "GRIPPROXY_RUNNERS",
        "gripproxy_handler_nope",
        "HANDLER_NOPE",
    ],
)
def test_other_variables_are_left_alone(said, variable):
    said.take_environ({variable: "1"})
    assert said.errors == []


def test_what_is_ignored_is_known_as_a_variable(said):
    said.take_environ({"GRIPPROXY_PROXY_UPDATES_CHECK": "off", "GRIPPROXY_RUNNER_RUNDIR": "/r"})
    assert said.errors == []
    assert value(said, RUNDIR) == "/r"


# Flags


def test_the_later_of_two_settings_counts(said):
    said.take_set(["proxy.via=a", "proxy.via=b=c"])
    setting = said.said(("proxy", "via"))
    assert setting.written.text == "b=c"
    assert setting.place == "--set proxy.via"


@pytest.mark.parametrize("text", ["", "proxy.via", "via=1", "=1"])
def test_a_setting_has_a_section_an_option_and_a_value(said, text):
    said.take_set([text])
    assert errors(said) == [f'--set: "{text}" is not section.option=value']


def test_a_setting_that_is_not_known_has_a_hint(said):
    said.take_set(["cache.sice=1", "a\n.b=1"])
    assert errors(said) == [
        "--set cache.sice: unknown option; did you mean cache.size?",
        "--set a\\n.b: unknown option; the sections are global, runner, proxy, handler, cache, "
        "cluster",
    ]


def test_an_instance_has_a_prefix_and_moves_ports(said):
    said.take_set(["global.port_offset=5"])
    said.take_id(3)
    assert value(said, ("global", "port_offset")) == "30"
    assert said.expanded("{ipc_prefix}x") == "p3-x"


def test_an_instance_is_not_negative(said):
    said.take_id(-1)
    assert errors(said) == ["--id: id must be greater than or equal to 0"]


def test_a_port_is_the_one_listener(said, file):
    said.take_file(file("[runner]\nhttp_port=1,2\nhttps_ports=3\nlocal_ports=x"))
    said.take_port("127.0.0.1:80")
    assert said.said(("runner", "http_port")).written.elements == ("127.0.0.1:80",)
    assert value(said, ("runner", "https_ports")) == ""
    assert value(said, ("runner", "local_ports")) == ""


def test_a_port_is_no_list(said):
    said.take_port("80,81")
    assert said.said(("runner", "http_port")).written.elements == ("80,81",)


@pytest.mark.parametrize("port", ["0", "-1", "127.0.0.1:00", "[::1]:-5"])
def test_a_port_is_at_least_one(said, port):
    said.take_port(port)
    assert errors(said) == ["--port: port must be greater than or equal to 1"]


def test_a_log_level_replaces_all_of_the_files(said, file):
    said.take_file(file("[runner]\nlog_level=2,proxy:3"))
    said.take_log_level("1")
    assert value(said, ("runner", "log_level")) == "1"


# Who counts


def test_a_flag_counts_more_than_the_environment_and_that_more_than_files(said, file, tmp_path):
    file("[proxy]\nvia=5\ncdn_loop=5\nsig_iss=5\nsockjs_url=5", "more.conf")
    said.take_file(
        file("[global]\ninclude=more.conf\n[proxy]\nvia=4\ncdn_loop=4\nsig_iss=4\n"),
    )
    said.take_environ({"GRIPPROXY_PROXY_VIA": "3", "GRIPPROXY_PROXY_CDN_LOOP": "3"})
    said.take_set(["proxy.via=2"])
    said.take_included(str(tmp_path))
    counted = [value(said, ("proxy", key)) for key in ("via", "cdn_loop", "sig_iss", "sockjs_url")]
    assert counted == ["2", "3", "4", "5"]


def test_an_older_name_is_read_where_the_present_one_is_absent(said, file):
    said.take_file(file("[runner]\nrundir=/old\n[handler]\npush_in_max_body_size=5"))
    assert value(said, RUNDIR) == "/old"
    assert value(said, ("handler", "push_in_http_max_body_size")) == "5"


def test_an_older_name_does_not_count_beside_the_present_one(said, file):
    said.take_file(file("[global]\nrundir=\n[runner]\nrundir=/old"))
    assert value(said, RUNDIR) == ""


def test_an_older_name_counts_more_than_a_shipped_value(said):
    said.take_environ({"GRIPPROXY_HANDLER_PUSH_IN_MAX_BODY_SIZE": "5"})
    said.take_shipped()
    assert value(said, ("handler", "push_in_http_max_body_size")) == "5"


# Variables


def test_variables_are_replaced_wherever_they_are(said, file):
    said.take_file(file("[global]\nlibdir=/l\nrundir=/r\nipc_prefix=p-\n"))
    assert said.expanded("{libdir}{rundir}/{ipc_prefix}{rundir}{x}") == "/l/r/p-/r{x}"


def test_variables_have_defaults(said):
    assert said.expanded("{libdir}|{rundir}|{ipc_prefix}") == "/usr/lib/pushpin||pushpin-"


def test_a_list_is_no_variable(said, file):
    said.take_file(file("[global]\nrundir=a,b"))
    assert said.expanded("x{rundir}y") == "xy"


# Without a file


def test_shipped_values_hold_and_are_nobodys(said):
    said.take_shipped()
    assert value(said, ("runner", "http_port")) == "7999"
    assert value(said, ("handler", "id_cache_ttl")) == "60"
    assert said.said(("runner", "http_port")) is None
    assert said.setting(PORT).place == "default of [handler] push_in_http_port"


def test_no_directory_is_used_that_nobody_needs(said):
    said.take_shipped()
    names = [RUNDIR, ("runner", "logdir"), ("handler", "stats_spec")]
    assert [said.setting(name) for name in names] == [None, None, None]


def test_a_directory_that_is_mentioned_is_used(said):
    said.take_set(["handler.command_spec=ipc://{rundir}/c"])
    said.take_shipped()
    assert value(said, RUNDIR) == "run"
    assert said.setting(("handler", "stats_spec")) is None


def test_a_directory_that_is_named_is_used_for_all(said):
    said.take_environ({"GRIPPROXY_GLOBAL_RUNDIR": "/r"})
    said.take_shipped()
    assert value(said, RUNDIR) == "/r"
    assert value(said, ("handler", "stats_spec")) == "ipc://{rundir}/{ipc_prefix}stats"


# What is said of settings


def test_ignored_options_are_named_once_with_the_reason(said, file):
    said.take_file(
        file(
            "[proxy]\nupdates_check=report\nupdates_check=check\nworkers=2\n[runner]\nservices=a,b"
        )
    )
    assert list(settings.ignored(said)) == [
        "[runner] services: ignored, gripproxy is one program",
        "[proxy] workers: ignored, use [runner] workers",
        "[proxy] updates_check: ignored, gripproxy does not check for updates",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[runner]\nservices=connmgr,proxy,handler",
        "[runner]\nservices=condure,pushpin-proxy,pushpin-handler\nzurl_bin=zurl",
        "[proxy]\nupdates_check=off\norganization_name=",
        "[handler]\nshare_all=false",
    ],
)
def test_ignored_options_of_stock_files_are_not_named(said, file, text):
    said.take_file(file(text))
    assert list(settings.ignored(said)) == []


def test_older_names_are_named(said, file):
    said.take_file(
        file(
            "[runner]\nrundir=/r\n[handler]\npush_in_sub_spec=ipc://x\n"
            "push_in_max_headers_size=1\npush_in_max_body_size=1"
        )
    )
    assert list(settings.deprecated(said)) == [
        "rundir in [runner] section is deprecated. put in [global]",
        "[handler] push_in_max_headers_size is deprecated; write push_in_http_max_headers_size",
        "[handler] push_in_max_body_size is deprecated; write push_in_http_max_body_size",
        "[handler] push_in_sub_spec is deprecated; write push_in_sub_specs",
    ]


def test_an_older_name_that_does_not_count_is_not_named(said, file):
    said.take_file(file("[global]\nrundir=/r\n[runner]\nrundir=/r"))
    assert list(settings.deprecated(said)) == []


def test_who_has_set_what_is_told_without_keys(said, file):
    path = file("[proxy]\nsig_key=secret\nupstream_key=\n[runner]\nhttp_port=1,2")
    said.take_file(path)
    said.take_set(["proxy.via=x"])
    assert list(settings.sources(said)) == [
        f"[runner] http_port=1,2 ({path}:5)",
        f"[proxy] sig_key=... ({path}:2)",
        f"[proxy] upstream_key= ({path}:3)",
        "[proxy] via=x (--set proxy.via)",
    ]


# Nearest names


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("abc", "abx"),
        ("ab", ""),
        ("abcdef", "abcd"),
        ("xbcdef", "abcdef"),
        ("", ""),
        ("zzzzzz", ""),
    ],
)
def test_a_near_name_is_at_most_a_third_of_the_letters_away(name, near):
    assert settings.nearest(name, [near, "qqqqqqqqqqqqq"]) == near


def test_the_nearest_name_is_taken():
    assert settings.nearest("abcdef", ["abcdxy", "abcdex", "abcxef"]) == "abcdex"


def test_a_long_name_takes_no_time():
    assert settings.nearest("a" * 1_000_000, ["abc"]) == ""


@hypothesis_settings(deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_a_distance_goes_both_ways(first, second):
    there, back = settings._distance(first, second), settings._distance(second, first)
    assert there == back
    assert (there == 0) == (first == second)
    assert abs(len(first) - len(second)) <= there <= max(len(first), len(second))
