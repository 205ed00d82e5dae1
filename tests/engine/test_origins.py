"""Where a hold came from."""

from gripproxy.engine.origins import Origin
from tests.holdfakes import a_request, a_route


def test_a_request_that_was_sent_again_says_so():
    origin = Origin(request=a_request(), route=a_route(), last={})
    assert not origin.retried
    origin.retries = (1.0,)
    assert origin.retried
