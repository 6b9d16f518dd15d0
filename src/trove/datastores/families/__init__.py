"""What engines share that are kin: functions to call and small classes, one folder a family. No folder here is an engine."""
