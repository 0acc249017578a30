"""Does a deposit that nothing disturbs do what it says, in as few requests as were promised?

Oracle: the contract server's own account of what it holds and of what it was asked.
"""

from depositors import bundled, held

from release.testing import audit


def test_the_whole_walk_takes_two_requests_a_file_and_ten(depositor, server):
    depositor.workers = 4
    published = depositor.deposit()
    number = len(list(depositor.bundle.iterdir()))
    assert len(server.log) == 2 * number + 10
    record_id = published.doi.rpartition(".")[2]
    assert server.world.published() == [record_id]
    assert server.world.drafts() == []
    assert held(server, record_id) == bundled(depositor.bundle)
    assert all(row.status < 300 and row.user_agent.startswith("rbh1-ard/") for row in server.log)
    audit.check(server)
