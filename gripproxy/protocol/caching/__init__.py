"""The rules of a shared HTTP cache (RFC 9111), as pure functions: no state, no clock.

A request is read with `demands`, named with `keys`. The store finds what it has under that key;
`reuse` chooses the variant (`variants`) and judges it; `serving` makes the answer, whole or as a
part (`ranges`) or a 304 (`validation`), with `Age` and `Cache-Status` (`report`).

A response is looked at once, by `storing.facts`: what its origin allows (`directives`, some of it
in `structured` fields), how old it is and until when it is good (`freshness`), which requests may
have it. `storing.refusal` says why it must not be kept; `tags` names what purges it, with `urls`
in one spelling. A 304 makes new fields out of the stored ones (`validation.freshened`), which are
then looked at in the same way.

Begin with `storing`, then `reuse`. What a purge, an epoch or a flight is, only `engine.store`
knows.
"""
