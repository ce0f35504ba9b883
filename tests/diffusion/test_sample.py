"""Trajectories are those of a plain loop over diffusers: python -m pytest tests/diffusion/test_sample.py"""

from concurrent.futures import ThreadPoolExecutor

import diffusers
import numpy as np
import pytest
import torch

from explorer import zoo
from explorer.diffusion import SAMPLERS, sample, steps
from explorer.diffusion.sample import drawn
from explorer.diffusion.samplers import evaluations, unfit
from explorer.errors import ExplorerError

SCHEDULERS = {  # sampler → the scheduler of a plain loop, and how it is asked for
    "ddpm": ("DDPMScheduler", {}), "ddim": ("DDIMScheduler", {}), "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": ("EulerDiscreteScheduler", {}), "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm_solver": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {}),
}  # fmt: skip


def plain(ref, sampler, count=2, labels=None, guidance=1.0, null=3, number=7):
    """Every state of a loop as diffusers' own pipelines write it."""
    folder = ref.removeprefix("file:")
    unet = diffusers.UNet2DModel.from_pretrained(folder, subfolder="unet").eval()
    name, settings = SCHEDULERS[sampler]
    plan = getattr(diffusers, name).from_pretrained(folder, subfolder="scheduler", **settings)
    plan.set_timesteps(number)
    generators = [torch.Generator().manual_seed(5 + row) for row in range(count)]
    x = torch.cat([torch.randn(1, 1, 8, 8, generator=one) for one in generators]) * plan.init_noise_sigma
    draws = {"generator": generators} if sampler in ("ddpm", "euler_ancestral") else {}
    states = [x]
    with torch.no_grad():
        for t in plan.timesteps:
            if guidance == 1.0:
                noise = unet(plan.scale_model_input(x, t), t, class_labels=labels).sample
            else:
                both = plan.scale_model_input(torch.cat([x] * 2), t)
                nothing, knowing = unet(both, t, torch.cat([torch.full_like(labels, null), labels])).sample.chunk(2)
                noise = nothing + guidance * (knowing - nothing)
            x = plan.step(noise, t, x, **draws).prev_sample
            states.append(x)
    return torch.stack(states).numpy()


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_every_state_equals_a_plain_loop_bit_for_bit(saved, sampler, predicts):
    ref = saved("free", prediction_type=predicts)
    found = sample(ref, sampler, steps=7, seed=5, count=2)
    np.testing.assert_array_equal(found.x, plain(ref, sampler))
    assert len(found.timesteps) == evaluations(sampler, 7) == len(found.answers)


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_guidance_equals_a_plain_loop_bit_for_bit(saved, sampler):
    ref = saved("guided")
    found = sample(ref, sampler, steps=5, guidance=3.0, condition=["class 0", 2], seed=5, count=2)
    np.testing.assert_array_equal(found.x, plain(ref, sampler, labels=torch.tensor([0, 2]), guidance=3.0, number=5))
    np.testing.assert_allclose(found.noise, found.without + 3 * found.guidance_vector, rtol=1e-4, atol=1e-5)
    assert found.conditions == ("class 0", "class 2")


def test_the_list_of_samplers_is_what_is_tested():
    assert set(SAMPLERS) - set(SCHEDULERS) == {"lcm", "flow"}


def test_flow_matching_equals_a_plain_loop_bit_for_bit(saved):
    ref = saved("free", prediction_type="flow")
    unet = diffusers.UNet2DModel.from_pretrained(ref.removeprefix("file:"), subfolder="unet").eval()
    plan = diffusers.FlowMatchEulerDiscreteScheduler()
    plan.set_timesteps(7)
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    states = [x]
    with torch.no_grad():
        for t in plan.timesteps:
            x = plan.step(unet(x, t).sample, t, x).prev_sample
            states.append(x)
    found = sample(ref, "flow", steps=7, seed=5)
    np.testing.assert_array_equal(found.x, torch.stack(states).numpy())
    sigma = plan.sigmas.numpy().reshape(-1, 1, 1, 1, 1)
    np.testing.assert_allclose((1 - sigma[:-1]) * found.clean + sigma[:-1] * found.noise, found.x[:-1], atol=1e-4)
    np.testing.assert_allclose(found.noise - found.clean, found.answers, atol=1e-4)
    share = found.alphas_bar.reshape(-1, 1, 1, 1, 1)
    again = np.sqrt(share[:-1]) * found.clean + np.sqrt(1 - share[:-1]) * found.noise
    np.testing.assert_allclose(again, found.shown[:-1], atol=1e-4)


def test_diffusion_and_flow_matching_don_t_share_samplers(saved):
    with pytest.raises(ExplorerError, match="learned flow matching"):
        sample(saved("free", prediction_type="flow"), "ddim", 3)
    with pytest.raises(ExplorerError, match="learned to predict epsilon"):
        sample(saved("free"), "flow", 3)


@pytest.mark.parametrize("sampler", SCHEDULERS)
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_a_state_is_made_of_the_picture_and_the_noise_that_are_believed(saved, sampler, predicts):
    if unfit(sampler, {"prediction_type": predicts}):
        pytest.skip("they don't go together")
    found = sample(saved("free", prediction_type=predicts), sampler, steps=6, count=2)
    share = found.alphas_bar[:-1].reshape(-1, 1, 1, 1, 1)
    again = np.sqrt(share) * found.clean + np.sqrt(1 - share) * found.noise
    np.testing.assert_allclose(again, found.shown[:-1], rtol=1e-3, atol=2e-3)
    assert (np.diff(found.alphas_bar) >= 0).all()
    assert found.alphas_bar[-1] == 1


def test_our_ddim_step_is_the_library_s(saved):
    found = sample(saved("free"), "ddim", steps=8, count=2)
    for step in range(7):
        move = steps.ddim(
            torch.tensor(found.x[step]), torch.tensor(found.noise[step]),
            float(found.alphas_bar[step]), float(found.alphas_bar[step + 1]),
        )  # fmt: skip
        np.testing.assert_allclose(move.state, found.x[step + 1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(move.clean, found.clean[step], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "eta", "clip"), [("ddpm", None, None), ("ddpm", None, 1.0), ("ddim", 0.7, None),
                                                   ("ddim", 1.0, 1.0)])  # fmt: skip
def test_our_steps_are_the_library_s_with_chance_and_clipping(name, eta, clip):
    kind = diffusers.DDPMScheduler if name == "ddpm" else diffusers.DDIMScheduler
    plan = kind(clip_sample=clip is not None, clip_sample_range=clip or 1.0)
    plan.set_timesteps(20)
    draw = torch.Generator().manual_seed(1)
    state, noise = torch.randn(2, 3, 3, generator=draw), torch.randn(2, 3, 3, generator=draw)
    for place in (0, 9, 18):
        t, after = int(plan.timesteps[place]), int(plan.timesteps[place + 1])
        bars = float(plan.alphas_cumprod[t]), float(plan.alphas_cumprod[after])
        fresh = torch.randn(state.shape, generator=torch.Generator().manual_seed(3))
        more = {} if eta is None else {"eta": eta}
        theirs = plan.step(noise, t, state, generator=torch.Generator().manual_seed(3), **more).prev_sample
        ours = getattr(steps, name)(state, noise, *bars, fresh, clip=clip, **more)
        torch.testing.assert_close(ours.state, theirs, rtol=1e-4, atol=1e-5)


def test_the_same_seed_is_the_same_sample_whatever_is_drawn_beside_it(saved):
    ref = saved("guided")
    several = sample(ref, "euler_ancestral", steps=4, condition=1, seed=3, count=4)
    alone = sample(ref, "euler_ancestral", steps=4, condition=1, seed=5)
    np.testing.assert_allclose(several.x[:, 2], alone.x[:, 0], atol=1e-4)
    assert not np.allclose(several.x[0, 0], several.x[0, 1])


def test_eight_people_at_once_get_their_serial_results(saved):
    refs = [saved("guided"), saved("prompts")]
    asked = [(refs[number % 2], list(SCHEDULERS)[number], number) for number in range(8)]

    def draw(one):
        ref, sampler, seed = one
        return sample(ref, sampler, steps=4, condition=1 if ref == refs[0] else "a red ring", seed=seed).x

    alone = [draw(one) for one in asked]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(draw, asked))
    for serial, parallel in zip(alone, together, strict=True):
        np.testing.assert_array_equal(parallel, serial)


def test_prompts_equal_the_library_s_own_pipeline(saved):
    """All the way to the picture, with guidance and a negative prompt."""
    ref = saved("prompts", beta_schedule="scaled_linear", steps_offset=1)
    model = zoo.load(ref)
    found = sample(ref, "ddim", steps=4, guidance=4.0, condition="a red ring left of a star", avoid="blue", seed=9)
    with model.borrow() as parts, torch.inference_mode():
        ours = model.decode(parts, torch.tensor(found.x[-1]))
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        ref.removeprefix("file:"), safety_checker=None, requires_safety_checker=False
    )
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "a red ring left of a star", negative_prompt="blue", num_inference_steps=4, guidance_scale=4.0,
        generator=torch.Generator().manual_seed(9), output_type="np", height=8, width=8,
    ).images  # fmt: skip
    assert np.abs(ours.astype(float) - 255 * theirs).max() < 1
    assert (found.unknown, found.cut) == ((), 1)  # seven words and what frames them, where eight tokens fit
    assert sample(ref, steps=1, condition="a purple ring").unknown == ("purple",)


def test_points_flow(saved):
    found = sample(saved("points"), "dpm_solver", steps=5, count=300, seed=2)
    assert found.x.shape == (6, 300, 2)
    np.testing.assert_array_equal(found.x, sample(saved("points"), "dpm_solver", steps=5, count=300, seed=2).x)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("free", {"sampler": "nonsense"}, "none of that name"),
        ("free", {"sampler": "lcm"}, "distilled"),
        ("free", {"steps": 0}, "1 to 1,000"),
        ("free", {"steps": 10_000}, "1 to 1,000"),
        ("free", {"guidance": -1}, "0 to 50"),
        ("free", {"condition": "a cat"}, "whatever it likes"),
        ("free", {"count": 0}, "0 samples"),
        ("classes", {}, "none was named"),
        ("classes", {"condition": "class 7"}, "none of that name"),
        ("classes", {"condition": 3}, "none of that name"),
        ("guided", {"condition": [0, 1]}, "2 for 1 samples"),
        ("prompts", {"condition": "a " * 2000}, "longer than"),
    ],
)
def test_what_can_not_be_drawn_is_refused(saved, kind, changes, words):
    with pytest.raises(ExplorerError, match=words):
        sample(saved(kind), **changes)


def test_a_sampler_without_the_network_s_schedule_is_not_offered(saved):
    config = {"beta_schedule": "sigmoid"}
    assert unfit("ddpm", config) is None
    assert "sigmoid" in unfit("ddim", config)
    with pytest.raises(ExplorerError, match="ddpm"):
        sample(saved("free", beta_schedule="sigmoid"), "ddim")


def test_cancelling_raises_through_and_leaves_the_model_as_it_was(saved):
    def cancel(share):
        if share > 0.4:
            raise KeyboardInterrupt

    ref = saved("free")
    before = sample(ref, steps=5).x
    with pytest.raises(KeyboardInterrupt):
        sample(ref, steps=5, on_step=cancel)
    np.testing.assert_array_equal(sample(ref, steps=5).x, before)


def test_a_network_that_is_no_diffusion_model_is_refused():
    with pytest.raises(ExplorerError, match="no diffusion model"):
        sample("zoo:digits-lenet")


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_a_network_of_every_schedule_is_drawn_from(saved, schedule):
    """Training draws at its checkpoints, and not every sampler takes every schedule."""
    assert drawn(zoo.load(saved("guided", beta_schedule=schedule))).shape == (4, 8, 8, 1)
