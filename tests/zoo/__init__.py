"""The bugs of fixtures/zoo: shown by the schedules that are known to show them, and looked for without any."""
