"""One server for images, music and video: an HTTP API that OpenAI's clients speak, over a queue of durable jobs.

It sees the package as any other program does: `load`, a pipeline's `job` and `stream`, the media files. What answers
loads no model: that is done in a process of its own (`process`, `studio`), as is what is done with files (`lab`).
"""
