"""What files of Pushpin hold beside the options that act (config.md 3, 3.5).

They are read unchanged, so all of this is known: ignored options with the reason, endpoints
between Pushpin's own processes, and older names.
"""

from typing import Final

Name = tuple[str, str]  # section and option

# Why an option is ignored, and the values of stock files: those need no mention.
IGNORED: Final[dict[Name, tuple[str, frozenset[str]]]] = {
    ("global", "libdir"): ("nothing is loaded from there", frozenset(("",))),
    ("runner", "services"): (
        "gripproxy is one program",
        frozenset(("", "connmgr,proxy,handler", "condure,pushpin-proxy,pushpin-handler")),
    ),
    ("runner", "mongrel2_bin"): ("there are no helper programs", frozenset(("mongrel2",))),
    ("runner", "m2sh_bin"): ("there are no helper programs", frozenset(("m2sh",))),
    ("runner", "zurl_bin"): ("there are no helper programs", frozenset(("zurl",))),
    ("runner", "condure_bin"): ("there are no helper programs", frozenset(("condure",))),
    ("runner", "configdir"): ("nothing is read from there", frozenset(("",))),
    ("proxy", "workers"): ("use [runner] workers", frozenset(("1",))),
    ("proxy", "stats_report_interval"): (
        "there is one report, see [handler] stats_report_interval",
        frozenset(("10",)),
    ),
    ("proxy", "stats_connections_max_ttl"): (
        "it was between the processes of Pushpin",
        frozenset(("60",)),
    ),
    ("proxy", "prometheus_port"): ("use [handler] prometheus_port", frozenset(("",))),
    ("proxy", "prometheus_prefix"): ("use [handler] prometheus_prefix", frozenset(("",))),
    ("proxy", "ipc_file_mode"): ("there are no internal sockets", frozenset(("",))),
    ("proxy", "updates_check"): (
        "gripproxy does not check for updates",
        frozenset(("", "off")),
    ),
    ("proxy", "organization_name"): ("gripproxy does not check for updates", frozenset(("",))),
    ("handler", "state_spec"): ("GRIP sessions are not detected", frozenset(("",))),
    ("handler", "share_all"): (
        "identical requests are joined on routes with the parameter cache",
        frozenset(("", "0", "false")),
    ),
}

_INTERNAL: Final = {
    "proxy": """
        connmgr_in_specs connmgr_in_stream_specs connmgr_out_specs
        condure_in_specs condure_in_stream_specs condure_out_specs
        connmgr_client_out_specs connmgr_client_out_stream_specs connmgr_client_in_specs
        condure_client_out_specs condure_client_out_stream_specs condure_client_in_specs
        m2a_in_specs m2a_in_stream_specs m2a_out_specs
        zurl_out_specs zurl_out_stream_specs zurl_in_specs
        handler_inspect_spec handler_accept_spec handler_retry_in_spec
        handler_ws_control_in_spec handler_ws_control_out_spec
        handler_ws_control_init_specs handler_ws_control_stream_specs
        stats_spec command_spec
        intreq_in_specs intreq_in_stream_specs intreq_out_specs
    """,
    "handler": """
        connmgr_in_stream_specs connmgr_out_specs condure_in_stream_specs condure_out_specs
        m2a_in_stream_specs m2a_out_specs
        proxy_inspect_spec proxy_inspect_specs proxy_accept_spec proxy_accept_specs
        proxy_retry_out_spec proxy_retry_out_specs
        proxy_ws_control_in_spec proxy_ws_control_out_spec
        proxy_ws_control_init_specs proxy_ws_control_stream_specs
        proxy_stats_spec proxy_stats_specs proxy_command_spec
        proxy_intreq_out_specs proxy_intreq_out_stream_specs proxy_intreq_in_specs
    """,
}

# Accepted without a word: every installation has them.
INTERNAL: Final[frozenset[Name]] = frozenset(
    (section, name) for section, names in _INTERNAL.items() for name in names.split()
)

# An older name, read where the present one is absent: present name → older one.
FORMER: Final[dict[Name, Name]] = {
    ("global", "rundir"): ("runner", "rundir"),
    ("handler", "push_in_http_max_headers_size"): ("handler", "push_in_max_headers_size"),
    ("handler", "push_in_http_max_body_size"): ("handler", "push_in_max_body_size"),
}
# What is said of them.
DEPRECATED: Final[dict[Name, str]] = {
    ("runner", "rundir"): "rundir in [runner] section is deprecated. put in [global]",
    ("handler", "push_in_max_headers_size"): (
        "[handler] push_in_max_headers_size is deprecated; write push_in_http_max_headers_size"
    ),
    ("handler", "push_in_max_body_size"): (
        "[handler] push_in_max_body_size is deprecated; write push_in_http_max_body_size"
    ),
    ("handler", "push_in_sub_spec"): (
        "[handler] push_in_sub_spec is deprecated; write push_in_sub_specs"
    ),
}
