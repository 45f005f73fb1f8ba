"""Generated fault schedules, tried on copies of a stack until a record is lost, and made as small as they can be."""
