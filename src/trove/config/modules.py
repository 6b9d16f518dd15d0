"""Options of modules, in `[DEFAULT]`."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTS = [
    cfg.ListOpt(
        "module_types",
        default=["ping", "new_relic_license"],
        help="Types that modules may be created with. Guest agents have drivers for those of the default.",
    ),
    cfg.IntOpt(
        "module_reapply_max_batch_size",
        default=50,
        min=1,
        help="Most instances that a module is applied to again before a pause; also the number where a request names none.",
    ),
    cfg.FloatOpt(
        "module_reapply_min_batch_delay",
        default=2.0,
        min=0,
        help="Least seconds between such batches; also the pause where a request names none.",
    ),
]
