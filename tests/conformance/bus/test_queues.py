"""The queues in RabbitMQ: of a kind that a cluster keeps over the loss of a node, also beside those of other kinds."""

from contextlib import closing

from tests.support.rabbitmq import RabbitServer

from trove.bus.links import POISON_SUFFIX, Endpoint


def types_of(rabbitmq: RabbitServer) -> dict[str, str]:
    queues = rabbitmq.api().get("/api/queues/trove")
    assert isinstance(queues, list)
    return {str(queue["name"]): str(queue["type"]) for queue in queues if isinstance(queue, dict)}


def test_a_topic_is_a_quorum_queue_and_its_poison_is_not(rabbitmq: RabbitServer) -> None:
    with closing(Endpoint(rabbitmq.url).open()) as link:
        link.declare_topic("new")
        link.declare_topic("new")
    types = types_of(rabbitmq)
    assert (types["new"], types["new" + POISON_SUFFIX]) == ("quorum", "classic")


def test_a_poison_queue_of_another_kind_is_kept_with_what_it_holds(rabbitmq: RabbitServer) -> None:
    poison = "old" + POISON_SUFFIX
    with closing(Endpoint(rabbitmq.url).open(confirm=True)) as link:
        link.channel.queue_declare(poison, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        link.channel.basic_publish(link.channel.prepare_message(b"set aside"), routing_key=poison)
        link.declare_topic("old")
        assert link.channel.queue_declare(poison, passive=True).message_count == 1
        assert "old" in link.declared
    assert types_of(rabbitmq)["old"] == "quorum"
