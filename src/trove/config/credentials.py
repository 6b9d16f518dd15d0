"""Options of the account with which the service itself uses other services of OpenStack, in `[service_credentials]`."""

from oslo_config import cfg

GROUP = "service_credentials"

OPTS = [
    cfg.StrOpt("auth_url", default="https://0.0.0.0/identity/v3", help="URL of Keystone."),
    cfg.StrOpt("username", default="trove", help="Name of the service's user."),
    cfg.StrOpt("password", default="", secret=True, help="Password of the service's user."),
    cfg.StrOpt("user_domain_name", default="Default", help="Domain of the service's user."),
    cfg.StrOpt("project_name", default="service", help="Project of the service's user, unless project_id names it."),
    cfg.StrOpt("project_id", help="Id of the project of the service's user."),
    cfg.StrOpt("project_domain_name", default="Default", help="Domain of that project."),
    cfg.StrOpt("region_name", help="Region whose endpoints are used, where the catalogue has several."),
    cfg.StrOpt("cafile", help="Certificates of the authorities to be trusted, unless the system's own are to be."),
]
