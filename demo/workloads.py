"""What the demo's API keys are used for: which models, how often, how long. Tuned to look like two companies, not like noise."""

from collections.abc import Mapping

from demo.traffic import Shape, Workload

ROUTER = "openrouter/auto"

SUPPORT_CHAT = Workload(
    key="production",
    calls=210,
    rhythm="public",
    growth=0.45,
    weekend=0.7,
    tools=0.18,
    shapes=(
        Shape(model="openai/gpt-5-mini", weight=22, prompt=3_000, answer=420, cached=0.55, reasoning=0.4),
        Shape(model="openai/gpt-4.1-mini", weight=15, prompt=2_600, answer=290, cached=0.5),
        Shape(model="google/gemini-2.5-flash", weight=14, prompt=3_700, answer=350, cached=0.4, images=0.12),
        Shape(model="anthropic/claude-haiku-4.5", weight=12, prompt=4_200, answer=460, cached=0.7, cache_writes=True),
        Shape(model="upstage/solar-pro-3", weight=10, prompt=2_100, answer=340, cached=0.35, reasoning=0.25),
        Shape(model="openai/gpt-4o-mini", weight=9, prompt=2_400, answer=260, cached=0.4),
        Shape(model="google/gemini-2.5-flash-lite", weight=8, prompt=1_800, answer=180, cached=0.3),
        Shape(model="openai/gpt-5-nano", weight=6, prompt=1_100, answer=100, cached=0.3, reasoning=0.3),
        Shape(model="mistralai/mistral-small-3.2-24b-instruct", weight=4, prompt=2_200, answer=310, images=0.1),
        Shape(model="openai/gpt-4o", weight=3, prompt=2_700, answer=330, images=0.15),
        Shape(model="google/gemini-2.5-flash", weight=2, prompt=1_900, answer=260, asked_for=ROUTER),
        Shape(model="openai/gpt-4.1", weight=1, prompt=3_000, answer=350, cached=0.4, asked_for=ROUTER),
    ),
)
CODING_AGENTS = Workload(
    key="coding-agents",
    calls=120,
    rhythm="office",
    growth=0.6,
    weekend=0.12,
    tools=0.72,
    shapes=(
        Shape(model="mistralai/devstral-small", weight=38, prompt=32_000, answer=980),
        Shape(
            model="anthropic/claude-sonnet-4.5",
            weight=8,
            prompt=56_000,
            answer=1_300,
            cached=0.85,
            cache_writes=True,
            reasoning=0.3,
        ),
        Shape(
            model="anthropic/claude-sonnet-5",
            weight=6,
            prompt=52_000,
            answer=1_400,
            cached=0.85,
            cache_writes=True,
            reasoning=0.35,
        ),
        Shape(model="qwen/qwen3-coder", weight=14, prompt=38_000, answer=1_000, cached=0.5),
        Shape(model="moonshotai/kimi-k2-0905", weight=8, prompt=28_000, answer=900),
        Shape(model="z-ai/glm-4.6", weight=8, prompt=32_000, answer=1_000, cached=0.5, reasoning=0.3),
        Shape(model="openai/gpt-5", weight=6, prompt=42_000, answer=2_100, cached=0.8, reasoning=0.55),
        Shape(model="openai/gpt-5.2", weight=3, prompt=46_000, answer=2_000, cached=0.8, reasoning=0.5),
        Shape(model="mistralai/codestral-2508", weight=7, prompt=8_800, answer=270, cached=0.4),
        Shape(model="minimax/minimax-m2", weight=5, prompt=35_000, answer=1_200, cached=0.5, reasoning=0.4),
        Shape(
            model="anthropic/claude-opus-5",
            weight=1,
            prompt=49_000,
            answer=1_500,
            cached=0.85,
            cache_writes=True,
            reasoning=0.35,
        ),
    ),
)
DATA_TEAM = Workload(
    key="data-team",
    calls=90,
    rhythm="night",
    growth=0.3,
    weekend=0.85,
    tools=0.05,
    shapes=(
        Shape(model="deepseek/deepseek-v3.2", weight=18, prompt=10_000, answer=960, cached=0.4, reasoning=0.2),
        Shape(model="deepseek/deepseek-chat-v3-0324", weight=9, prompt=9_000, answer=800, cached=0.3),
        Shape(model="qwen/qwen3-235b-a22b-2507", weight=12, prompt=12_000, answer=1_100),
        Shape(model="openai/gpt-oss-120b", weight=13, prompt=7_500, answer=800, reasoning=0.4),
        Shape(
            model="google/gemini-2.5-pro",
            weight=5,
            prompt=27_000,
            answer=1_900,
            cached=0.3,
            reasoning=0.45,
            long=0.05,
            long_prompt=230_000,
        ),
        Shape(
            model="x-ai/grok-4-fast",
            weight=8,
            prompt=24_000,
            answer=1_100,
            cached=0.4,
            reasoning=0.4,
            long=0.12,
            long_prompt=150_000,
        ),
        Shape(
            model="anthropic/claude-sonnet-4.5",
            weight=1,
            prompt=60_000,
            answer=2_400,
            cached=0.5,
            cache_writes=True,
            long=0.12,
            long_prompt=215_000,
        ),
        Shape(
            model="openai/gpt-5.6-sol",
            weight=1,
            prompt=45_000,
            answer=2_400,
            cached=0.5,
            reasoning=0.4,
            long=0.08,
            long_prompt=290_000,
        ),
        Shape(model="openai/o3", weight=3, prompt=9_000, answer=2_900, cached=0.3, reasoning=0.7),
        Shape(model="deepseek/deepseek-r1-0528", weight=5, prompt=7_500, answer=3_500, reasoning=0.75),
        Shape(model="meta-llama/llama-3.3-70b-instruct", weight=9, prompt=8_400, answer=720),
        Shape(model="google/gemma-3-27b-it", weight=6, prompt=6_000, answer=560, images=0.3),
        Shape(model="amazon/nova-lite-v1", weight=4, prompt=9_000, answer=480),
        Shape(
            model="google/gemini-3-flash-preview",
            weight=6,
            prompt=18_000,
            answer=1_100,
            cached=0.4,
            reasoning=0.3,
            images=0.2,
        ),
    ),
)
STAGING = Workload(
    key="staging",
    calls=36,
    rhythm="office",
    growth=0.1,
    weekend=0.05,
    tools=0.25,
    shapes=(
        Shape(model="openai/gpt-oss-20b:free", weight=14, prompt=1_400, answer=250, reasoning=0.4),
        Shape(model="meta-llama/llama-3.3-70b-instruct:free", weight=8, prompt=1_400, answer=220),
        Shape(model="openai/gpt-5-nano", weight=18, prompt=1_200, answer=150, cached=0.3, reasoning=0.3),
        Shape(model="openai/gpt-oss-20b", weight=12, prompt=1_400, answer=260, reasoning=0.4),
        Shape(model="mistralai/mistral-nemo", weight=12, prompt=1_400, answer=200),
        Shape(model="mistralai/devstral-small", weight=16, prompt=3_000, answer=350),
        Shape(model="openai/gpt-5-mini", weight=10, prompt=2_200, answer=300, cached=0.5, reasoning=0.4),
    ),
)

FACTORY_ASSISTANT = Workload(
    key="production",
    calls=135,
    rhythm="public",
    growth=0.35,
    weekend=0.45,
    tools=0.3,
    shapes=(
        Shape(model="google/gemini-2.5-flash", weight=24, prompt=4_000, answer=360, cached=0.4, images=0.35),
        Shape(model="openai/gpt-4o-mini", weight=18, prompt=2_800, answer=260, cached=0.4),
        Shape(model="mistralai/devstral-small", weight=14, prompt=8_000, answer=480),
        Shape(model="meta-llama/llama-4-maverick", weight=12, prompt=3_600, answer=340, images=0.3),
        Shape(model="anthropic/claude-haiku-4.5", weight=9, prompt=4_400, answer=420, cached=0.7, cache_writes=True),
        Shape(model="amazon/nova-lite-v1", weight=9, prompt=3_200, answer=240, images=0.2),
        Shape(model="upstage/solar-pro-3", weight=8, prompt=2_400, answer=310, reasoning=0.25),
        Shape(model="mistralai/mistral-nemo", weight=6, prompt=2_000, answer=220),
    ),
)
RESEARCH = Workload(
    key="research",
    calls=42,
    rhythm="office",
    growth=0.5,
    weekend=0.2,
    tools=0.1,
    shapes=(
        Shape(model="deepseek/deepseek-r1-0528", weight=18, prompt=8_800, answer=2_800, reasoning=0.75),
        Shape(model="mistralai/mistral-large-2512", weight=16, prompt=14_000, answer=840, images=0.1),
        Shape(model="openai/o4-mini", weight=14, prompt=8_800, answer=2_000, cached=0.3, reasoning=0.65),
        Shape(model="qwen/qwen3-235b-a22b-2507", weight=14, prompt=12_000, answer=910),
        Shape(
            model="google/gemini-2.5-pro", weight=8, prompt=28_000, answer=1_500, cached=0.3, reasoning=0.45, images=0.2
        ),
        Shape(model="openai/gpt-oss-120b", weight=14, prompt=7_700, answer=700, reasoning=0.4),
        Shape(model="openai/gpt-4.1", weight=8, prompt=18_000, answer=700, cached=0.3, images=0.1),
        Shape(model="z-ai/glm-4.6", weight=8, prompt=12_000, answer=980, cached=0.3, reasoning=0.3),
    ),
)

WORKLOADS: Mapping[str, tuple[Workload, ...]] = {
    "acme": (SUPPORT_CHAT, CODING_AGENTS, DATA_TEAM, STAGING),
    "globex": (FACTORY_ASSISTANT, RESEARCH),
}
"""By organization."""
