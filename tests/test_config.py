"""From files, environment and flags to one `Config`."""

import dataclasses
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gripproxy import config
from gripproxy.config import Config, Given
from gripproxy.errors import ConfigErrors
from gripproxy.kinds import Endpoint, UnixEndpoint
from gripproxy.protocol.keys import KeySource

ROOT = Path(__file__).parent.parent
NOBODY = Given()

# What a stock file of Pushpin says, each option that such files have had; and what it includes.
STOCK = """\
[global]
include={libdir}/internal.conf

# the sockets and pid files go here
rundir=/var/run/pushpin

# ipc names begin with it
ipc_prefix=pushpin-

# moves all tcp ports
port_offset=0

# seconds
stats_connection_ttl=120
stats_connection_send=true


[runner]
# parts to run
services=condure,pushpin-proxy,pushpin-handler

# clients, plain
http_port=7999

# clients, TLS (needs certificates)
#https_ports=443

# clients, by a file
#local_ports={rundir}/{ipc_prefix}server

logdir=/var/log/pushpin

# more is noisier
log_level=2

client_buffer_size=8192
client_maxconn=50000
allow_compression=false

# programs
condure_bin=condure
mongrel2_bin=mongrel2
m2sh_bin=m2sh
zurl_bin=zurl


[proxy]
routesfile=routes
debug=false
auto_cross_origin=false
accept_x_forwarded_protocol=false
set_x_forwarded_protocol=proto-only

# as in "truncate:0,append"
x_forwarded_for=
x_forwarded_for_trusted=
orig_headers_need_mark=
accept_pushpin_route=false
cdn_loop=
log_from=false
log_user_agent=false
sig_iss=pushpin

# a binary one begins with "base64:
sig_key=changeme
upstream_key=
sockjs_url=http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js
updates_check=off
organization_name=


[handler]
# octal
#ipc_file_mode=777
push_in_spec=tcp://127.0.0.1:5560
push_in_sub_specs=tcp://127.0.0.1:5562
push_in_sub_connect=false
push_in_http_addr=127.0.0.1
push_in_http_port=5561
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
stats_spec=ipc://{rundir}/{ipc_prefix}stats
command_spec=tcp://127.0.0.1:5563
message_rate=2500
message_hwm=25000
#message_block_size=
message_wait=5000
id_cache_ttl=60
update_on_first_subscription=true
connection_subscription_max=20
subscription_linger=60
stats_subscription_ttl=60
stats_report_interval=10
stats_format=tnetstring
#prometheus_port=
#prometheus_prefix=
"""
INTERNAL = """\
[proxy]
# one for each part
condure_in_specs=ipc://{rundir}/{ipc_prefix}condure-out
m2a_in_specs=ipc://{rundir}/{ipc_prefix}m2zhttp-out,ipc://{rundir}/{ipc_prefix}m2zws-out
zurl_out_specs=ipc:///var/run/zurl/zurl-in
handler_inspect_spec=ipc://{rundir}/{ipc_prefix}inspect
stats_spec=ipc://{rundir}/{ipc_prefix}proxy-stats
command_spec=ipc://{rundir}/{ipc_prefix}proxy-command

[handler]
proxy_inspect_spec=ipc://{rundir}/{ipc_prefix}inspect
proxy_stats_spec=ipc://{rundir}/{ipc_prefix}proxy-stats
proxy_intreq_in_specs=ipc://{rundir}/{ipc_prefix}intreq-out
"""


@pytest.fixture
def load(tmp_path):
    """Load a file of this text; without a text there is no file."""

    def load(text=None, given=NOBODY, **environ):
        path = None
        if text is not None:
            path = tmp_path / "x.conf"
            path.write_text(text, encoding="utf-8")
        return config.load(path and str(path), given, environ=environ, root=tmp_path)

    return load


@pytest.fixture
def wrong(load):
    """Load what is wrong; return the errors, without the directory."""

    def wrong(*args, **environ):
        with pytest.raises(ConfigErrors) as raised:
            load(*args, **environ)
        return [str(error).rpartition("/")[2] for error in raised.value.errors]

    return wrong


@pytest.fixture
def alone(load, monkeypatch):
    """Load without a file, also on a machine that has one in /etc."""
    monkeypatch.setattr(config, "NAMES", ())

    def alone(given=NOBODY, **environ):
        return load(None, given, **environ)

    return alone


PORT = "[runner]\nhttp_port=7999\n"


# Which file


def test_the_first_file_that_is_there_is_read(load, tmp_path):
    (tmp_path / "config").mkdir()
    for name in ("pushpin.conf", "gripproxy.conf", "config/pushpin.conf"):
        path = tmp_path / name
        path.write_text(PORT)
        read = load()
        assert read.path == str(path)
        assert read.directory == str(path.parent)


def test_the_file_that_is_asked_for_counts_more_than_that_of_the_environment(load, tmp_path):
    other = tmp_path / "other.conf"
    other.write_text("[runner]\nhttp_port=1\n")
    assert load(PORT, GRIPPROXY_CONFIG=str(other)).path == str(tmp_path / "x.conf")
    assert load(GRIPPROXY_CONFIG=str(other)).path == str(other)


def test_a_file_that_is_asked_for_must_be_there(tmp_path):
    with pytest.raises(ConfigErrors) as raised:
        config.load("none.conf", NOBODY, environ={}, root=tmp_path)
    text = "--config: no configuration file found. Tried: none.conf"
    assert str(raised.value) == text


def test_so_must_the_file_of_the_environment(wrong):
    assert wrong(GRIPPROXY_CONFIG="none.conf") == [
        "GRIPPROXY_CONFIG: no configuration file found. Tried: none.conf"
    ]


def test_an_empty_variable_names_no_file(alone):
    assert alone(GRIPPROXY_CONFIG="").path == ""


# Files of Pushpin


@pytest.mark.parametrize("included", [False, True])
def test_a_stock_file_of_pushpin_is_read_unchanged(load, tmp_path, included):
    text = STOCK.replace("{libdir}", str(tmp_path))
    if included:
        (tmp_path / "internal.conf").write_text(INTERNAL)
    read = load(text)
    assert read.general.rundir == "/var/run/pushpin"
    assert read.runner.http_port == (Endpoint("0.0.0.0", 7999),)
    assert read.runner.logdir == "/var/log/pushpin"
    assert read.proxy.routesfile == "routes"
    assert read.proxy.set_x_forwarded_protocol == "proto-only"
    assert read.proxy.sig_key == KeySource("text", b"changeme")
    assert read.proxy.upstream_key is None
    assert read.handler.stats_spec == "ipc:///var/run/pushpin/pushpin-stats"
    assert read.handler.push_in_sub_specs == ("tcp://127.0.0.1:5562",)
    assert read.handler.message_rate == 2500
    assert read.handler.id_cache_ttl == 60
    assert [notice.split(" ")[0] for notice in read.notices] == [
        "sig_key",
        "message_rate=2500",
        "message_hwm=25000",
    ]


def test_the_file_of_internal_endpoints_lacks_only_a_port(wrong):
    assert wrong(INTERNAL) == [
        "[runner] http_port: there is no port for clients; write for instance http_port=7999"
    ]


@pytest.mark.parametrize("name", ["/etc/pushpin/pushpin.conf"])
def test_the_installed_file_of_pushpin_is_read(name):
    if not Path(name).exists():
        pytest.skip("Pushpin is not installed")
    assert config.load(name, NOBODY, environ={}).handler.push_in_http_port == 5561


# Defaults


def test_what_a_file_does_not_name_is_as_in_pushpin(load):
    read = load(PORT)
    assert read.handler == dataclasses.replace(Config().handler)
    assert read.handler.push_in_http_port == 0
    assert read.proxy.sig_key is None


def test_without_a_file_shipped_values_hold(alone):
    read = alone()
    assert read.path == ""
    assert read.directory == ""
    assert read.runner.http_port == (Endpoint("0.0.0.0", 7999),)
    assert read.handler.push_in_http_port == 5561
    assert read.proxy.sig_key == KeySource("text", b"changeme")
    assert read.handler.id_cache_ttl == 60
    assert read.handler.message_rate == read.handler.message_hwm == 0


def test_without_a_file_no_directory_is_used(alone):
    read = alone()
    assert (read.general.rundir, read.runner.logdir, read.handler.stats_spec) == ("", "", "")


def test_without_a_file_a_directory_is_used_that_is_needed(alone):
    read = alone(Given(settings=("handler.stats_spec=ipc://{rundir}/s",)))
    assert read.general.rundir == "run"
    assert read.handler.stats_spec == "ipc://run/s"


def test_the_shipped_file_says_what_holds_without_a_file(alone):
    shipped = config.load(str(ROOT / "config/gripproxy.conf"), NOBODY, environ={})
    bare = alone(Given(settings=("global.rundir=run", "runner.logdir=log")))
    for section in ("general", "runner", "proxy", "handler", "cache", "cluster"):
        assert getattr(shipped, section) == getattr(bare, section)


# Precedence and variables


def test_a_flag_counts_more_than_the_environment_and_that_more_than_the_file(load):
    text = f"{PORT}[proxy]\nvia=file\ncdn_loop=file\nsig_iss=file"
    given = Given(settings=("proxy.via=flag",))
    environ = {"GRIPPROXY_PROXY_VIA": "variable", "GRIPPROXY_PROXY_CDN_LOOP": "variable"}
    proxy = load(text, given, **environ).proxy
    assert (proxy.via, proxy.cdn_loop, proxy.sig_iss) == ("flag", "variable", "file")


def test_an_empty_value_counts(load):
    assert load(f"{PORT}[proxy]\nvia=\nsig_iss=").proxy.via == ""
    assert load(f"{PORT}[handler]\npush_in_http_port=").handler.push_in_http_port == 0


def test_variables_are_replaced_in_texts_and_in_lists(load):
    read = load(
        "[global]\nrundir=/r\nipc_prefix=i-\n[runner]\n"
        "local_ports={rundir}/{ipc_prefix}a?mode=660,{rundir}/b\n"
    )
    assert read.runner.local_ports == (UnixEndpoint("/r/i-a", 0o660), UnixEndpoint("/r/b"))


def test_the_offset_moves_endpoints_and_the_control_port_and_nothing_else(load):
    read = load(
        "[global]\nport_offset=10\n[runner]\nhttp_port=7999\n[handler]\npush_in_http_port=5561\n"
        "push_in_spec=tcp://[::1]:5560\npush_in_sub_specs=tcp://a:1,tcp://b:2\n"
        "prometheus_port=127.0.0.1:9000\npush_in_sub_connect=yes\n"
    )
    assert read.runner.http_port == (Endpoint("0.0.0.0", 7999),)
    assert read.handler.push_in_http_port == 5571
    assert read.handler.push_in_spec == "tcp://[::1]:5570"
    assert read.handler.push_in_sub_specs == ("tcp://a:11", "tcp://b:12")
    assert read.handler.prometheus_port == Endpoint("127.0.0.1", 9000)


def test_an_instance_has_names_and_ports_of_its_own(load):
    read = load(STOCK, Given(instance=3))
    assert read.file_prefix == "p3-"
    assert read.general.ipc_prefix == "p3-"
    assert read.handler.stats_spec == "ipc:///var/run/pushpin/p3-stats"
    assert read.handler.command_spec == "tcp://127.0.0.1:5593"
    assert read.handler.push_in_http_port == 5591
    assert read.runner.http_port == (Endpoint("0.0.0.0", 7999),)


def test_a_port_of_the_command_line_is_the_only_one(load):
    read = load("[runner]\nhttp_port=1\nhttps_ports=2\nlocal_ports=x", Given(port="[::1]:80"))
    assert read.runner.http_port == (Endpoint("::1", 80),)
    assert read.runner.https_ports == ()
    assert read.runner.local_ports == ()


def test_a_log_level_of_the_command_line_counts(load):
    read = load(f"{PORT}log_level=1", Given(log_level="2,proxy:3"))
    assert read.runner.log_level == ("2", "proxy:3")


def test_an_older_name_of_rundir_acts(load):
    read = load("[runner]\nhttp_port=1\nrundir=/r\n[handler]\nstats_spec=ipc://{rundir}/s")
    assert read.general.rundir == "/r"
    assert read.handler.stats_spec == "ipc:///r/s"
    assert read.notices[0] == "rundir in [runner] section is deprecated. put in [global]"


def test_a_key_file_is_beside_the_configuration(load, tmp_path):
    (tmp_path / "key").write_text("00ff")
    read = load(f"{PORT}[proxy]\nsig_key=file:key")
    assert read.proxy.sig_key == KeySource("hex", b"\0\xff")


def test_a_key_does_not_show_itself(load):
    read = load(
        f"{PORT}[proxy]\nsig_key=very-secret\n", GRIPPROXY_HANDLER_CONTROL_KEY="secret-too"
    )
    assert "secret" not in repr(read)


# Errors


def test_an_error_has_file_line_and_option(wrong):
    assert wrong(f"{PORT}[handler]\npush_in_http_port=56x1") == [
        'x.conf:4: [handler] push_in_http_port: "56x1" is not a number'
    ]


def test_an_error_of_a_variable_has_its_name(wrong):
    assert wrong(PORT, GRIPPROXY_PROXY_DEBUG="maybe") == [
        'GRIPPROXY_PROXY_DEBUG: "maybe" is neither true nor false'
    ]


def test_an_error_of_a_flag_has_its_name(wrong):
    given = Given(settings=("proxy.debug=maybe",), log_level="-1")
    assert wrong(PORT, given) == [
        "--log-level: log level must be greater than or equal to 0",
        '--set proxy.debug: "maybe" is neither true nor false',
    ]


def test_a_list_for_one_value_is_an_error(wrong):
    assert wrong(f"{PORT}[handler]\npush_in_spec=a,b") == [
        "x.conf:4: [handler] push_in_spec: takes one value, not a list; with quotes it is one: "
        '"a,b"'
    ]


def test_a_default_that_is_moved_to_nowhere_names_the_default(alone):
    with pytest.raises(ConfigErrors) as raised:
        alone(Given(instance=6500))
    assert str(raised.value.errors[0]) == (
        "default of [handler] push_in_spec: with port_offset=65000 there is no port 70560"
    )


def test_all_errors_are_told_together(wrong, tmp_path):
    assert wrong(
        "garbage\n[runner]\nclient_maxcon=1\nclient_maxconn=many\n[nope]\n[proxy]\ndebug=perhaps\n"
        "sig_key=file:none",
        Given(settings=("x",), port="0"),
        GRIPPROXY_HANDLER_MESSAGE_RAT="1",
    ) == [
        'x.conf:1: "garbage" is neither [section] nor option=value',
        'x.conf:5: unknown section "nope"; the sections are global, runner, proxy, handler, '
        "cache, cluster",
        'x.conf:3: unknown option "client_maxcon" in [runner]; did you mean "client_maxconn"?',
        "GRIPPROXY_HANDLER_MESSAGE_RAT: unknown option; did you mean "
        "GRIPPROXY_HANDLER_MESSAGE_RATE?",
        '--set: "x" is not section.option=value',
        "--port: port must be greater than or equal to 1",
        'x.conf:4: [runner] client_maxconn: "many" is not a number',
        'x.conf:7: [proxy] debug: "perhaps" is neither true nor false',
        "none: No such file or directory",
    ]


def test_somebody_must_be_able_to_connect(wrong):
    assert wrong("") == [
        "[runner] http_port: there is no port for clients; write for instance http_port=7999"
    ]


def test_a_wrong_offset_is_told_once(wrong):
    assert wrong(f"[global]\nport_offset=x\n{PORT}[handler]\npush_in_spec=tcp://h:1") == [
        'x.conf:2: [global] port_offset: "x" is not a number'
    ]


@pytest.mark.parametrize("local", ["http_port=0", "https_ports=443", "local_ports=/run/x"])
def test_one_way_to_connect_is_enough(load, local):
    assert load(f"[runner]\n{local}").runner


# What is told


def test_notices_begin_with_what_is_ignored_and_deprecated(load):
    read = load(f"{PORT}rundir=/r\n[proxy]\nupdates_check=check\nsig_key=changeme")
    assert [notice[:30] for notice in read.notices] == [
        "[proxy] updates_check: ignored",
        "rundir in [runner] section is ",
        'sig_key is the well-known "cha',
    ]


def test_sources_tell_who_has_set_what(load, tmp_path):
    read = load(PORT, GRIPPROXY_PROXY_VIA="x")
    assert read.sources == (
        f"[runner] http_port=7999 ({tmp_path}/x.conf:2)",
        "[proxy] via=x (GRIPPROXY_PROXY_VIA)",
    )


def test_a_configuration_is_a_frozen_value_that_processes_can_hand_over(load):
    read = load(STOCK)
    assert pickle.loads(pickle.dumps(read)) == read
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.path = "x"


# For all texts


NAMES = st.sampled_from(
    ["[runner]\n", "[handler]\n", "[x]\n", "http_port=", "push_in_spec=", "z="]
)


@settings(deadline=None)
@given(st.lists(st.one_of(NAMES, st.text(max_size=8), st.just("\n"))).map("".join))
def test_no_text_makes_another_error_than_ours(text):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.conf")
        path.write_text(text, encoding="utf-8")
        try:
            config.load(str(path), NOBODY, environ={})
        except ConfigErrors as raised:
            assert all(error.place and "\n" not in error.text for error in raised.errors)  # noqa: PT017


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_make_another_error_than_ours(content):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.conf")
        path.write_bytes(content)
        with pytest.raises(ConfigErrors):  # no bytes of this kind name a port
            config.load(str(path), NOBODY, environ={})


# Nothing that is a variable, or a form of the toolkit.
PLAIN = st.text(st.characters(exclude_characters="\0{@", exclude_categories=["Cs"]))


@settings(deadline=None)
@given(PLAIN)
def test_a_value_in_quotes_comes_back(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.conf")
        path.write_text(f'{PORT}[proxy]\nvia="{escaped}"\n', encoding="utf-8", newline="")
        assert config.load(str(path), NOBODY, environ={}).proxy.via == text


# Printing


@pytest.mark.parametrize(
    ("what", "committed"),
    [("conf", "config/gripproxy.conf"), ("reference", "docs/reference/options.md")],
)
def test_what_is_committed_is_what_is_printed(what, committed):
    command = [sys.executable, "-m", "gripproxy.config", what]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, encoding="utf-8")
    assert (ROOT / committed).read_text(encoding="utf-8") == printed.stdout, "run: make docs"


@pytest.mark.parametrize("arguments", [[], ["other"], ["conf", "conf"]])
def test_nothing_else_can_be_printed(arguments, capsys):
    assert config.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_what_is_asked_for_is_printed(capsys):
    assert config.main(["conf"]) == 0
    assert capsys.readouterr().out == config.print_default_conf()


def test_the_shipped_file_tells_of_every_option_but_older_names():
    text = config.print_default_conf()
    for section, name in config.options.TABLE:
        told = f"\n{name}=" in text or f"\n#{name}=" in text
        assert told != ((section, name) == ("handler", "push_in_sub_spec"))


def test_the_shipped_file_can_be_read_by_pushpin():
    """An odd quote or a `\\` at the end of a comment would swallow lines there."""
    for line in config.print_default_conf().splitlines():
        assert line.count('"') % 2 == 0
        assert not line.endswith("\\")


def test_the_reference_tells_of_every_option():
    text = config.print_reference()
    assert all(f"| `{name}`" in text for _, name in config.options.TABLE)
    assert all(f"`[{of}] {name}`" in text for of, name in config.legacy.IGNORED)


def test_a_default_is_shown_as_it_is_written():
    text = config.print_default_conf()
    for line in ("#drain=10", "#workers=1", "#routes_partial_reload=false", "#control_key=",
                 "#size=268435456", "#lease=2"):  # fmt: skip
        assert f"\n{line}\n" in text
