"""Models of the Hugging Face Hub that are known to open here: small, with safetensors and a fast tokenizer."""

from dataclasses import dataclass

from explorer.settings import settings


@dataclass(frozen=True)
class Entry:
    """One model of the Hub."""

    name: str  # <owner>/<name>
    task: str  # a key of `explorer.zoo.card.RANKS`
    parameters: int  # once it is open
    note: str  # what it is good for, in a clause

    @property
    def ref(self) -> str:
        """What `zoo.load` takes."""
        return f"hf:{self.name}"

    @property
    def bytes(self) -> int:
        """What it takes in memory, at four bytes a parameter."""
        return 4 * self.parameters


def fits(entry: Entry) -> bool:
    """Whether this server opens networks of this size."""
    limits = settings().limits
    return entry.parameters <= limits.parameters and entry.bytes <= limits.store


CATALOGUE = (
    # encoders
    Entry("google-bert/bert-base-uncased", "fill-mask", 109_514_298, "BERT, the classic: 12 layers of 12 heads"),
    Entry("google-bert/bert-base-cased", "fill-mask", 108_340_804, "BERT that knows capitals"),
    Entry("google-bert/bert-base-multilingual-cased", "fill-mask", 177_974_523, "BERT in 104 languages"),
    Entry("google-bert/bert-large-uncased", "fill-mask", 335_174_458, "BERT with 24 layers of 16 heads"),
    Entry("distilbert/distilbert-base-uncased", "fill-mask", 66_985_530, "BERT distilled to six layers"),
    Entry("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "text-classification", 66_955_010,
          "is a sentence kind or unkind?"),
    Entry("FacebookAI/roberta-base", "fill-mask", 124_697_433, "BERT trained longer, on more"),
    Entry("distilbert/distilroberta-base", "fill-mask", 82_170_201, "RoBERTa distilled to six layers"),
    Entry("FacebookAI/xlm-roberta-base", "fill-mask", 278_295_186, "RoBERTa in 100 languages"),
    Entry("albert/albert-base-v2", "fill-mask", 11_221_680, "one layer, run twelve times"),
    Entry("answerdotai/ModernBERT-base", "fill-mask", 149_655_232, "rotary positions, most layers look nearby only"),
    Entry("sentence-transformers/all-MiniLM-L6-v2", "feature-extraction", 22_713_216, "sentences as vectors"),
    # decoders
    Entry("openai-community/gpt2", "text-generation", 124_439_808, "GPT-2, in which induction heads are well known"),
    Entry("openai-community/gpt2-medium", "text-generation", 354_823_168, "GPT-2 with 24 layers of 16 heads"),
    Entry("distilbert/distilgpt2", "text-generation", 81_912_576, "GPT-2 distilled to six layers"),
    Entry("EleutherAI/pythia-14m", "text-generation", 14_067_712, "the smallest of a family made for looking inside"),
    Entry("EleutherAI/pythia-31m", "text-generation", 30_494_720, "six layers of eight heads"),
    Entry("EleutherAI/pythia-70m", "text-generation", 70_426_624, "six layers, rotary positions"),
    Entry("EleutherAI/pythia-160m", "text-generation", 162_322_944, "twelve layers, rotary positions"),
    Entry("EleutherAI/pythia-410m", "text-generation", 405_334_016, "24 layers, rotary positions"),
    Entry("EleutherAI/gpt-neo-125m", "text-generation", 125_198_592, "every second layer looks nearby only"),
    Entry("HuggingFaceTB/SmolLM2-135M", "text-generation", 134_515_008, "a Llama of today: grouped queries, 30 layers"),
    Entry("HuggingFaceTB/SmolLM2-360M", "text-generation", 361_821_120, "a Llama of today, 32 layers"),
    Entry("Qwen/Qwen2.5-0.5B", "text-generation", 494_032_768, "many languages, grouped queries"),
    Entry("bigscience/bloom-560m", "text-generation", 559_214_592, "46 languages, distance subtracted from the scores"),
    # encoder-decoders
    Entry("google-t5/t5-small", "text2text-generation", 60_506_624, "translate English to German: …"),
    Entry("google-t5/t5-base", "text2text-generation", 222_903_552, "T5 with twelve layers on each side"),
    Entry("google/flan-t5-small", "text2text-generation", 76_961_152, "T5 that follows instructions"),
    Entry("facebook/bart-base", "text2text-generation", 139_420_416, "mends texts with holes"),
    # pictures
    Entry("google/vit-base-patch16-224", "image-classification", 86_567_656, "the vision transformer: 14×14 patches"),
    Entry("WinKawaks/vit-tiny-patch16-224", "image-classification", 5_717_416, "twelve layers of three heads"),
    Entry("facebook/convnextv2-atto-1k-224", "image-classification", 3_708_400, "convolutions, no attention"),
    Entry("microsoft/resnet-18", "image-classification", 11_689_512, "convolutions, no attention"),
    Entry("microsoft/resnet-50", "image-classification", 25_557_032, "convolutions, no attention"),
    # what draws
    Entry("google/ddpm-cifar10-32", "image-generation", 35_746_307, "the first DDPM: 32×32 pictures of ten kinds"),
    Entry("stable-diffusion-v1-5/stable-diffusion-v1-5", "text-to-image", 1_066_235_307,
          "512×512 pictures from words; minutes a step without a GPU"),
)  # fmt: skip
