"""What ipvsadm gets."""

import ipaddress

import pytest

from numapin_lab.latency.services import MOST, rules


@pytest.mark.parametrize("services", [1, 256, 20_000, MOST])
def test_each_service_has_an_address_of_its_own_and_a_backend(services):
    lines = rules(services).splitlines()
    added = [line.split()[2] for line in lines if line.startswith("-A ")]
    backed = [line.split()[2] for line in lines if line.startswith("-a ")]
    assert added == backed
    assert len(set(added)) == services
    network = ipaddress.ip_network("10.96.0.0/16")
    assert all(ipaddress.ip_address(one.removesuffix(":80")) in network for one in added[-300:])


@pytest.mark.parametrize("services", [0, -1, MOST + 1])
def test_what_does_not_fit_is_refused(services):
    with pytest.raises(ValueError, match="must be from 1 to 65,536"):
        rules(services)
