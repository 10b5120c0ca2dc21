"""The plain loop that other results are compared with: decode, eager float32 network, encode, in one Python thread.

    python bench/plain_loop.py CLIP OUTPUT.mp4 [--downsample RATIO]

Prints its frames per second as JSON. Uses the same weights and network as `rvm-studio matte`, frame by frame.
"""

# B = T = 1, C channels, H, W

import argparse
import json
import time

import av
import numpy as np
import torch
from rvm_studio.core import choose_downsample_ratio, find_weights, load_network


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("output")
    parser.add_argument("--downsample", default="auto")
    arguments = parser.parse_args()
    network = load_network(find_weights())
    started, count, rec = time.perf_counter(), 0, None
    green = torch.tensor([0.0, 177 / 255, 64 / 255]).view(1, 3, 1, 1)
    with av.open(arguments.clip) as source, av.open(arguments.output, "w") as target, torch.inference_mode():
        incoming = source.streams.video[0]
        incoming.thread_type = "AUTO"
        stream = target.add_stream("libx264", rate=incoming.average_rate, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = incoming.width, incoming.height, "yuv420p"
        ratio = choose_downsample_ratio(arguments.downsample, incoming.height, incoming.width)
        for frame in source.decode(incoming):
            src = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)[None].float() / 255
            fgr, pha, rec = network(src, rec, ratio)
            composite = fgr * pha + green * (1 - pha)
            image = np.ascontiguousarray(composite[0].mul(255).byte().permute(1, 2, 0).numpy())
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            count += 1
        target.mux(stream.encode(None))
    print(json.dumps({"frames": count, "fps": count / (time.perf_counter() - started)}))


if __name__ == "__main__":
    main()
