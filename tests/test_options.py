"""The table of options."""

import dataclasses
import pickle

import pytest

from gripproxy import options
from gripproxy.kinds import Context, Written
from gripproxy.options import TABLE


def no_file(path):
    raise AssertionError(f"{path} was opened")


def names(**of):
    return [(section, name) for section, listed in of.items() for name in listed.split()]


# config.md 3.1 to 3.4, without what is ignored, and 4.1.
PUSHPIN = names(
    **{
        "global": "include rundir ipc_prefix port_offset "
        "stats_connection_ttl stats_connection_send"
    },
    runner="http_port https_ports local_ports rundir logdir log_level client_buffer_size "
    "client_maxconn allow_compression",
    proxy="routesfile debug auto_cross_origin accept_x_forwarded_protocol "
    "set_x_forwarded_protocol x_forwarded_for x_forwarded_for_trusted orig_headers_need_mark "
    "accept_pushpin_route cdn_loop log_from log_user_agent sig_iss sig_key upstream_key "
    "sockjs_url max_open_requests",
    handler="push_in_spec push_in_sub_specs push_in_sub_spec push_in_sub_connect "
    "push_in_http_addr push_in_http_port push_in_http_max_headers_size "
    "push_in_http_max_body_size stats_spec command_spec ipc_file_mode message_rate message_hwm "
    "message_block_size message_wait id_cache_ttl update_on_first_subscription "
    "connection_subscription_max subscription_linger stats_subscription_ttl "
    "stats_report_interval stats_format prometheus_port prometheus_prefix",
)
OURS = names(
    runner="workers drain header_timeout idle_timeout body_timeout write_timeout "
    "write_buffer_max ws_ping_interval ws_message_max log_format",
    proxy="origin_connect_timeout origin_timeout routes_partial_reload via",
    handler="control_key control_iss history_items history_seconds history_bytes",
    cache="size max_object_size cookies purge_from",
    cluster="url name lease",
)


def test_the_options_of_pushpin_are_there():
    assert sorted(name for name, option in TABLE.items() if not option.ours) == sorted(PUSHPIN)


def test_ours_are_there():
    assert sorted(name for name, option in TABLE.items() if option.ours) == sorted(OURS)


@pytest.mark.parametrize("name", TABLE, ids=".".join)
def test_an_option_means_something(name):
    meaning = TABLE[name].meaning
    assert meaning.endswith(".")
    assert '"' not in meaning, "an odd quote in a comment would swallow lines in Pushpin"
    assert "|" not in meaning, "it stands in a table of Markdown"


def read(name, text):
    elements = tuple(part.strip() for part in text.split(","))
    return TABLE[name].kind.read(Written(text, elements), Context(read=no_file))


@pytest.mark.parametrize(
    "name", [name for name, option in TABLE.items() if option.shipped], ids=".".join
)
def test_a_shipped_value_can_be_read(name):
    assert read(name, TABLE[name].shipped) is not None or name == ("proxy", "upstream_key")


# Where a file need not name an option: the column `absent` of config.md 3, where it is not what
# is shipped.
DIFFERENT = {
    ("global", "rundir"): "",
    ("runner", "http_port"): (),
    ("runner", "logdir"): "",
    ("proxy", "routesfile"): "",
    ("proxy", "set_x_forwarded_protocol"): "",
    ("proxy", "sig_key"): None,
    ("proxy", "sockjs_url"): "",
    ("handler", "push_in_spec"): "",
    ("handler", "push_in_sub_specs"): (),
    ("handler", "push_in_http_addr"): "",
    ("handler", "push_in_http_port"): 0,
    ("handler", "stats_spec"): "",
    ("handler", "command_spec"): "",
    ("handler", "id_cache_ttl"): 0.0,
}


@pytest.mark.parametrize("name", TABLE, ids=".".join)
def test_a_shipped_value_differs_from_the_absent_one_only_where_it_should(name):
    if name in DIFFERENT:
        assert options.absent(name) == DIFFERENT[name]
        assert read(name, TABLE[name].shipped) != DIFFERENT[name]
    elif TABLE[name].shipped is not None:
        assert read(name, TABLE[name].shipped) == options.absent(name)


def test_the_limits_of_stock_files_are_not_shipped():
    assert TABLE["handler", "message_rate"].shipped is None
    assert TABLE["handler", "message_hwm"].shipped is None


@pytest.mark.parametrize("section", options.SECTIONS)
def test_a_section_is_a_frozen_value_that_processes_can_hand_over(section):
    values = options.SECTIONS[section]()
    assert pickle.loads(pickle.dumps(values)) == values
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(values, dataclasses.fields(values)[0].name, None)
