"""Who may do what (oslo.policy rules), one file a noun."""
