"""One tracked video and its run folder: tracked frame by frame, written as it goes, read again.

exchange/   masks go out to other tools' formats, and come in from them
images/     single images and folders of them instead of a video
refine/     a finished run is corrected: only the masks that a correction touches
resume/     a run that ended early goes on from where its snapshots say
watch/      is the mask still on the object? during the run, and after it
"""
