"""RabbitMQ's options under the names that oslo.messaging gave them: those that mean something here."""

from oslo_config import cfg

GROUP = "oslo_messaging_rabbit"

OPTS = [
    cfg.BoolOpt(
        "ssl",
        default=False,
        help="Reach RabbitMQ by TLS, as by amqps:// in transport_url. Its certificate and host name are verified.",
    ),
    cfg.StrOpt(
        "ssl_ca_file",
        default="",
        help="File with the authorities that are trusted for RabbitMQ and its management API; by default those of the system. "
        "Guests on machines of their own are given it: it must be small.",
    ),
    cfg.StrOpt("ssl_cert_file", default="", help="File with the certificate that the services show to RabbitMQ."),
    cfg.StrOpt("ssl_key_file", default="", help="File with the key of ssl_cert_file."),
    cfg.BoolOpt(
        "rabbit_quorum_queue",
        default=True,
        help="Queues are quorum queues, which survive the loss of a node of a cluster. It cannot be switched off: other queues "
        "do not count how often a message was delivered, by which one that kills its readers is found.",
    ),
]
