"""The façade: a model artifact becomes a function from image to labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeseg.refine.base import Refiner, check_refinable
from edgeseg.refine.placed import refine_placed
from edgeseg.refine.registry import open_refiner
from edgeseg.runtime.augmented import AugmentedBackend
from edgeseg.runtime.backend import Backend
from edgeseg.runtime.choose import Choice, choose
from edgeseg.runtime.postprocess import placed_labels
from edgeseg.runtime.preprocess import to_canvas
from edgeseg.runtime.registry import open_backend
from edgeseg.runtime.tiles import Output, infer_tiles
from edgeseg.spec import ModelSpec
from edgeseg.spec.placement import PictureFit
from edgeseg.types import ImageU8, Inference, Segmentation, check_image


class Segmenter:
    """A model, ready to label images of any size.

    Calls may come from several threads at once, as far as the backend allows it (ONNX Runtime and PyTorch do). Close it
    when none is running; with ONNX Runtime a close from another thread ends what runs, with a ModelError.

    Args:
        backend: the loaded model.
        threads: CPU threads for the upsampling of logits; None means all cores.
        refiner: works on the probabilities, at the model's input size, before labels are made of them; None for none.
        fit: how images of another shape come before the network, see :mod:`edgeseg.spec.placement`; None for what the
            model was trained with.
        tile_scale: of ``fit="tile"``: pixels that the network sees for one of the image; None likewise.

    Raises:
        ModelError: there is a refiner, and the model returns labels.
        SpecError: no such fit, or the model cannot have it.
    """

    def __init__(
        self,
        backend: Backend,
        threads: int | None = None,
        refiner: Refiner | None = None,
        *,
        fit: PictureFit | None = None,
        tile_scale: float | None = None,
    ) -> None:
        if refiner is not None:
            check_refinable(backend.spec)
        self._spec = backend.spec.fitted(fit, tile_scale)
        self._backend = backend
        self._threads = threads or 0
        self._refiner = refiner

    @classmethod
    def open(
        cls,
        model: str | Path | Choice | None = None,
        *,
        backend: str = "auto",
        threads: int | None = None,
        refine: str | Refiner = "none",
        trust_engine: bool = False,
        fit: PictureFit | None = None,
        tile_scale: float | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> Segmenter:
        """Load a shipped model by name, or any artifact by path.

        Args:
            model: a name that ``edgeseg models`` lists, a task such as ``street``, or a .onnx, .engine or .pt file;
                None for the shipped one for streets that suits the machine; or what
                :func:`edgeseg.runtime.choose.choose` has said, which decides on the backend.
            backend: ``ort``, ``ort-cuda``, ``ort-tensorrt``, ``tensorrt``, ``pytorch``, or ``auto`` for what
                :func:`edgeseg.runtime.choose.choose` says.
            threads: CPU threads; None means all cores.
            refine: ``none``, ``crf``, ``guided``, or a refiner of your own.
            trust_engine: load a TensorRT engine although it was not built by you on this machine. An engine is a
                program: it can do whatever you can.
            fit, tile_scale: see :class:`Segmenter`.
            scales, flip: take the mean over the picture at these factors of the input size, and over its mirror images:
                slower and more accurate. See :class:`edgeseg.runtime.augmented.AugmentedBackend`.

        Raises:
            InputError: no such backend or refinement, or an engine that takes one size alone.
            ModelError: no such model, it cannot be loaded, is an engine that is not trusted, or cannot be refined.
            SpecError: the artifact carries no spec, or one that does not fit it; no such fit, or it cannot have it.
            MissingDependencyError: its engine is not installed.
        """
        choice = model if isinstance(model, Choice) else choose(model, backend, threads)
        engine = open_backend(choice.path, backend=choice.backend, threads=threads, trust_engine=trust_engine)
        try:
            if flip or tuple(scales) != (1.0,):
                engine = AugmentedBackend(engine, scales, flip=flip)
            refiner = open_refiner(refine, engine.spec, threads) if isinstance(refine, str) else refine
            return cls(engine, threads, refiner, fit=fit, tile_scale=tile_scale)
        except BaseException:
            engine.close()
            raise

    @property
    def spec(self) -> ModelSpec:
        """The model's classes, colours, input size and all else known of it."""
        return self._spec

    @property
    def is_refining(self) -> bool:
        """Whether there is a refiner between the network and the labels."""
        return self._refiner is not None

    def __call__(self, image: ImageU8) -> Segmentation:
        """Label each pixel.

        Args:
            image: (H, W, 3) uint8 RGB of any size; it comes before the network as the spec's ``fit`` says.

        Returns:
            (H, W) uint8 labels at the image's own size, with the milliseconds of each step; 255 for what ``crop`` has
            cut off.

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
        placements = [self.spec.place((image.shape[0], image.shape[1])) for image in images]
        canvases = [to_canvas(image, placement) for image, placement in zip(images, placements, strict=True)]
        prepared_s = time.perf_counter()
        outputs = self._outputs(canvases)
        inferred_s = time.perf_counter()
        latency_ms = {"preprocess": (prepared_s - start_s) * 1000, "infer": (inferred_s - prepared_s) * 1000}
        return [
            Inference(canvas, output[np.newaxis], placement, latency_ms)
            for canvas, output, placement in zip(canvases, outputs, placements, strict=True)
        ]

    def _outputs(self, canvases: Sequence[ImageU8]) -> list[Output]:
        most = self._backend.max_batch
        if self.spec.fit == "tile":
            return [infer_tiles(self._backend.infer, canvas, self.spec, most) for canvas in canvases]
        step = most or len(canvases)
        parts = [canvases[start : start + step] for start in range(0, len(canvases), step)]
        batches = [part[0][np.newaxis] if len(part) == 1 else np.stack(part) for part in parts]
        return [output for batch in batches for output in self._backend.infer(batch)]

    def finish(self, inference: Inference) -> Segmentation:
        """Make labels of what the network said: refinement, where it was asked for, and the argmax."""
        latency_ms = dict(inference.latency_ms)
        output, placement = inference.output, inference.placement
        start_s = time.perf_counter()
        if self._refiner is not None:
            logits = np.asarray(output, dtype=np.float32)
            output = refine_placed(self._refiner, logits, inference.input_u8, placement, self.spec)
            placement = placement.without_border()
            latency_ms["refine"] = (time.perf_counter() - start_s) * 1000
        refined_s = time.perf_counter()
        labels = placed_labels(output, placement, self._threads)
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
