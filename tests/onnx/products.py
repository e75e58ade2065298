"""What an export is as files: the same bytes every time, numbers beside the model, other element types."""

TASKS = []
