"""The façade: a model artifact becomes a function from image to labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeseg.refine.base import Refiner, check_refinable, probabilities_of
from edgeseg.refine.registry import open_refiner
from edgeseg.runtime.augmented import AugmentedBackend
from edgeseg.runtime.backend import Backend
from edgeseg.runtime.choose import Choice, choose
from edgeseg.runtime.postprocess import to_labels
from edgeseg.runtime.preprocess import to_input
from edgeseg.runtime.registry import open_backend
from edgeseg.spec import ModelSpec
from edgeseg.types import ImageU8, Inference, Segmentation, check_image


class Segmenter:
    """A model, ready to label images of any size.

    Calls may come from several threads at once, as far as the backend allows it (ONNX Runtime and PyTorch do). Close it
    when none is running; with ONNX Runtime a close from another thread ends what runs, with a ModelError.

    Args:
        backend: the loaded model.
        threads: CPU threads for the upsampling of logits; None means all cores.
        refiner: works on the probabilities, at the model's input size, before labels are made of them; None for none.

    Raises:
        ModelError: there is a refiner, and the model returns labels.
    """

    def __init__(self, backend: Backend, threads: int | None = None, refiner: Refiner | None = None) -> None:
        if refiner is not None:
            check_refinable(backend.spec)
        self._backend = backend
        self._threads = threads or 0
        self._refiner = refiner

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        *,
        backend: str = "auto",
        threads: int | None = None,
        refine: str | Refiner = "none",
        trust_engine: bool = False,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> Segmenter:
        """Load a shipped model by name, or any artifact by path.

        Args:
            model: a name that ``edgeseg models`` lists, or a .onnx, .engine or .pt file; None for the shipped one that
                suits the machine.
            backend: ``ort``, ``ort-cuda``, ``ort-tensorrt``, ``tensorrt``, ``pytorch``, or ``auto`` for what
                :func:`edgeseg.runtime.choose.choose` says.
            threads: CPU threads; None means all cores.
            refine: ``none``, ``crf``, ``guided``, or a refiner of your own.
            trust_engine: load a TensorRT engine although it was not built by you on this machine. An engine is a
                program: it can do whatever you can.
            scales, flip: take the mean over the picture at these factors of the input size, and over its mirror images:
                slower and more accurate. See :class:`edgeseg.runtime.augmented.AugmentedBackend`.

        Raises:
            InputError: no such backend or refinement, or an engine that takes one size alone.
            ModelError: no such model, it cannot be loaded, is an engine that is not trusted, or cannot be refined.
            SpecError: the artifact carries no spec, or one that does not fit it.
            MissingDependencyError: its engine is not installed.
        """
        return cls.open_choice(
            choose(model, backend),
            threads=threads,
            refine=refine,
            trust_engine=trust_engine,
            scales=scales,
            flip=flip,
        )

    @classmethod
    def open_choice(
        cls,
        choice: Choice,
        *,
        threads: int | None = None,
        refine: str | Refiner = "none",
        trust_engine: bool = False,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> Segmenter:
        """As :meth:`open`, where :func:`edgeseg.runtime.choose.choose` was asked before, to tell what it says."""
        engine = open_backend(choice.path, backend=choice.backend, threads=threads, trust_engine=trust_engine)
        try:
            if flip or tuple(scales) != (1.0,):
                engine = AugmentedBackend(engine, scales, flip=flip)
            refiner = open_refiner(refine, engine.spec, threads) if isinstance(refine, str) else refine
            return cls(engine, threads, refiner)
        except BaseException:
            engine.close()
            raise

    @property
    def spec(self) -> ModelSpec:
        """The model's classes, colours, input size and all else known of it."""
        return self._backend.spec

    def __call__(self, image: ImageU8) -> Segmentation:
        """Label each pixel.

        Args:
            image: (H, W, 3) uint8 RGB of any size; it is stretched to the model's input size.

        Returns:
            (H, W) uint8 labels at the image's own size, with the milliseconds of each step.

        Raises:
            InputError: not such an array.
            ModelError: the engine failed, or the segmenter is closed.
        """
        return self.finish(self.infer([image])[0])

    def infer(self, images: Sequence[ImageU8]) -> list[Inference]:
        """Run the network over images, together.

        Args:
            images: one or more, (H, W, 3) uint8 RGB of any size each.

        Returns:
            what :meth:`finish` makes labels of, one for each image.

        Raises:
            InputError: not such arrays.
            ModelError: the engine failed, or the segmenter is closed.
        """
        start_s = time.perf_counter()
        for image in images:
            check_image(image)
        inputs = [to_input(image, self.spec.input_size) for image in images]
        batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        prepared_s = time.perf_counter()
        step = self._backend.max_batch or len(batch)
        parts = [self._backend.infer(batch[start : start + step]) for start in range(0, len(batch), step)]
        outputs = [output for part in parts for output in part]
        inferred_s = time.perf_counter()
        latency_ms = {"preprocess": (prepared_s - start_s) * 1000, "infer": (inferred_s - prepared_s) * 1000}
        return [
            Inference(pixels, output[np.newaxis], (image.shape[0], image.shape[1]), latency_ms)
            for image, pixels, output in zip(images, batch, outputs, strict=True)
        ]

    def finish(self, inference: Inference) -> Segmentation:
        """Make labels of what the network said: refinement, where it was asked for, and the argmax."""
        latency_ms = dict(inference.latency_ms)
        output = inference.output
        start_s = time.perf_counter()
        if self._refiner is not None:
            probabilities = probabilities_of(np.asarray(output, dtype=np.float32), self.spec.input_size)
            output = self._refiner(probabilities, inference.input_u8)[np.newaxis]
            latency_ms["refine"] = (time.perf_counter() - start_s) * 1000
        refined_s = time.perf_counter()
        labels = to_labels(output, inference.size, self._threads)
        latency_ms["postprocess"] = (time.perf_counter() - refined_s) * 1000
        return Segmentation(labels, self.spec, latency_ms)

    def close(self) -> None:
        """Free what the engine holds; calling it twice is harmless."""
        self._backend.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
