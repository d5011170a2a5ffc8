"""Talk to a server: a picture, a variation of it, a job that is watched, one that follows a picture, a batch. Without
its address it starts one."""

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def server() -> Iterator[str]:
    """A server in this folder, on a free port, for as long as it is needed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "from mediagen.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", command, "serve", "--port", str(port), "--data", "served"])
    try:
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def talk(address: str) -> None:
    with httpx.Client(base_url=f"{address}/v1", timeout=300) as client:
        print("models:", [model["id"] for model in client.get("/models").json()["data"]])

        body = {"prompt": "a cat left of a pizza", "seed": 7, "steps": 6}
        made = client.post("/images/generations", json=body).raise_for_status().json()
        Path("cat.png").write_bytes(base64.b64decode(made["data"][0]["b64_json"]))

        body = {"image": made["id"], "prompt": "a dog left of a pizza", "strength": 0.7, "steps": 6, "wait": False}
        job = client.post("/images/variations", json=body).raise_for_status().json()
        with client.stream("GET", f"/jobs/{job['id']}/events") as events:
            for line in events.iter_lines():
                if line.startswith("data:"):
                    job = json.loads(line[5:])
                    print(job["status"], job.get("step", ""), job.get("total", ""))
        Path("dog.png").write_bytes(client.get(job["results"][0]).content)

        offered = client.get("/adapters").json()["data"]  # what the server was started with: --controls FOLDER
        for network in [one["id"] for one in offered if one["object"] == "control"][:1]:
            control = {"name": network, "image": made["id"], "hint": "luminance", "weight": 0.8}
            body = {"prompt": "a fox left of a pizza", "seed": 7, "steps": 6, "control": control}
            led = client.post("/images/generations", json=body).raise_for_status().json()
            Path("fox.png").write_bytes(base64.b64decode(led["data"][0]["b64_json"]))
            print("fox.png: led by", network)

        url, bodies = "/v1/images/generations", [{"prompt": f"a {name}", "steps": 2} for name in ("car", "tree")]
        lines = [{"custom_id": body["prompt"], "method": "POST", "url": url, "body": body} for body in bodies]
        file = ("requests.jsonl", "\n".join(map(json.dumps, lines)).encode())
        kept = client.post("/files", files={"file": file}, data={"purpose": "batch"}).raise_for_status().json()
        batch = client.post("/batches", json={"input_file_id": kept["id"], "endpoint": url}).raise_for_status().json()
        while batch["status"] in ("in_progress", "finalizing"):
            time.sleep(0.5)
            batch = client.get(f"/batches/{batch['id']}").json()
        answers = client.get(f"/files/{batch['output_file_id']}/content").text.splitlines()
        print("batch:", batch["status"], [json.loads(answer)["custom_id"] for answer in answers])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        talk(sys.argv[1])
    else:
        with server() as own:
            talk(own)
