"""Who may connect to instances, in the words of security groups: one file a verb. None is stored."""
