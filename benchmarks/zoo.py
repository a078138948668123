"""Do the models of torchvision, timm and transformers pass? All of them are trained with success.

    python benchmarks/zoo.py [--only torchvision:resnet18 ...] [--library timm] [--seed 0] [--show]

A row per model: verdict, initialisations drawn, seconds, and what failed. Weights are drawn, nothing is
downloaded. Exits with 1 if a model fails or cannot be judged.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest_initcheck as ic
from pytest_initcheck import specs
from pytest_initcheck.errors import ConfigError

TORCHVISION = """
    alexnet vgg11 vgg16_bn squeezenet1_1 googlenet resnet18 resnet50 densenet121 mobilenet_v2
    mobilenet_v3_small shufflenet_v2_x0_5 mnasnet0_5 efficientnet_b0 regnet_y_400mf convnext_tiny
    vit_b_32 swin_t swin_v2_t deeplabv3_mobilenet_v3_large fcn_resnet50 lraspp_mobilenet_v3_large
    fasterrcnn_mobilenet_v3_large_320_fpn retinanet_resnet50_fpn ssdlite320_mobilenet_v3_large
    r3d_18 raft_small
"""
TIMM = """
    resnet18 resnet10t seresnet18 deit_tiny_patch16_224 vit_tiny_patch16_224
    swin_tiny_patch4_window7_224 convnext_atto convnextv2_atto mixer_s32_224 resmlp_12_224
    gmlp_s16_224 regnety_002 mobilenetv3_small_050 densenet121 inception_next_atto nf_resnet26
    nfnet_l0 efficientnet_b0 tf_efficientnetv2_b0 vgg11 cait_xxs24_224 xcit_nano_12_p16_224
    poolformer_s12 coatnet_nano_rw_224 edgenext_xx_small mobilevit_xxs ghostnet_050 hrnet_w18_small
    levit_128s eva02_tiny_patch14_224 pvt_v2_b0 tinynet_e
"""
TRANSFORMERS = """
    hf-tiny:gpt2 hf-tiny:gpt_neox hf-tiny:opt hf-tiny:bloom hf-tiny:llama hf-tiny:mistral
    hf-tiny:qwen2 hf-tiny:gemma hf-tiny:gemma2 hf-tiny:mixtral hf-tiny:deepseek_v3 hf-tiny:mamba
    hf-tiny:mamba2 hf-tiny:t5 hf-tiny:bart hf-tiny:bert hf-tiny:roberta hf-tiny:albert
    hf-tiny:electra hf-tiny:deberta-v2 hf-tiny:distilbert hf-tiny:modernbert hf-tiny:funnel
    hf-tiny:reformer hf-tiny:xlnet hf-tiny:layoutlm hf-tiny:vit hf-tiny:clip hf-tiny:siglip
    hf-tiny:wav2vec2 hf-tiny:whisper hf-tiny:speech_to_text hf-tiny:segformer hf-tiny:convnext
    hf-tiny:resnet hf-tiny:videomae hf-tiny:audio-spectrogram-transformer hf-tiny:deit
    hf-tiny:dinov2 hf-tiny:falcon hf-tiny:hubert hf-tiny:longformer hf-tiny:mobilebert hf-tiny:mt5
    hf-tiny:olmo2 hf-tiny:phi3 hf-tiny:qwen2_moe hf-tiny:recurrent_gemma hf-tiny:rwkv hf:gpt2
    hf:bert hf:distilbert hf:whisper hf:segformer
"""
MODELS = (
    *(f"torchvision:{name}" for name in TORCHVISION.split()),
    *(f"timm:{name}" for name in TIMM.split()),
    *TRANSFORMERS.split(),
)

KNOWN = {
    "hf-tiny:funnel": ("variance", "exploding"),
    "hf-tiny:mt5": ("variance", "exploding"),
}
"""What fails rightly: both tie the head to embeddings N(0, 1) and do not scale its input as T5 does.

The variance of the logits is the width; the first loss is 88 and 54, where ln 512 is 6.2.
"""


def row(spec: str, seed: int, show: bool) -> str:
    """Print a model's row and return its verdict."""
    started = time.perf_counter()
    try:
        report = ic.check(specs.load(spec, Path()), id=spec, seed=seed)
    except ConfigError as error:
        print(f"{'error':12} {spec:48} {'':15} {error}", flush=True)
        return "error"
    failed = {(finding.invariant, finding.direction) for finding in report.failures}
    verdict = "fail, known" if failed == {KNOWN.get(spec)} else report.verdict
    seconds = time.perf_counter() - started
    what = [f"{f.invariant} {f.direction or ''} at {f.site}: {f.message}" for f in report.failures]
    what += [report.error] if report.error else []
    print(f"{verdict:12} {spec:48} {report.seeds:4} {seconds:7.1f} s  {'; '.join(what)}", flush=True)
    if show and report.verdict != "pass":
        print(report, flush=True)
    return verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="SPEC", help="these models, listed below or not")
    parser.add_argument("--library", choices=("torchvision", "timm", "hf", "hf-tiny"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print the report of what does not pass")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    prefix = f"{options.library}:" if options.library else ""
    chosen = options.only or [spec for spec in MODELS if spec.startswith(prefix)]
    counts = Counter(row(spec, options.seed, options.show) for spec in chosen)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    return 1 if counts["fail"] + counts["error"] else 0


if __name__ == "__main__":
    sys.exit(main())
