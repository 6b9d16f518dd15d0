"""Which version the machines and the data of guests in tests are of, and whether a server ever met data that it cannot read."""

from collections.abc import Mapping
from configparser import RawConfigParser
from dataclasses import dataclass, field

from trove.cloud.contract import ServerSpec
from trove.core.json import JSON


@dataclass
class Versions:
    """By instance: the version of its machine, of its data, of what is kept for the way back, and which upgrade has served."""

    machine: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    served: dict[str, str] = field(default_factory=dict)
    amiss: list[str] = field(default_factory=list)

    def boot(self, spec: ServerSpec) -> None:
        """Note what a machine is made of."""
        told = RawConfigParser()
        told.read_string(spec.files["guest_info.conf"].decode())
        self.machine[spec.instance_id] = told["DEFAULT"]["datastore_version"]
        if "first.cnf" in spec.files and self.differ(spec.instance_id):
            self.amiss.append("a server may begin by itself on data of another version")

    def differ(self, instance_id: str) -> bool:
        """Tell whether the data are of another version than the machine."""
        machine = self.machine.get(instance_id)
        return self.data.get(instance_id, machine) != machine

    def do(self, instance_id: str, kind: str, args: Mapping[str, JSON]) -> JSON:
        """Do a job, if it is one of these, and return its result."""
        machine = self.machine[instance_id]
        if kind in {"prepare", "prepare_replica", "restart", "start"}:
            if self.differ(instance_id):
                self.amiss.append(f"{kind} met data of another version")
            self.data.setdefault(instance_id, machine)
        elif kind == "upgrade":
            if args["version"] != machine:
                self.amiss.append("an upgrade on a machine of another version")
            if instance_id not in self.kept:
                self.kept[instance_id] = self.data[instance_id]
            self.data[instance_id] = machine
            self.served[instance_id] = str(args["upgrade"])
        elif kind == "revert_upgrade":
            if self.served.get(instance_id) == args["upgrade"]:
                return {"reverted": False}
            self.data[instance_id] = self.kept.pop(instance_id, self.data[instance_id])
            return {"reverted": True}
        elif kind == "finish_upgrade":
            self.kept.pop(instance_id, None)
            self.served.pop(instance_id, None)
        return None
