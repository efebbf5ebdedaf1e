"""A model for Triton's Python backend: `model.py` of a repository that `bench serve` makes.

`lightgbm.txt` lies beside it; PACKAGES names the folder of installed packages, which the backend does not know by itself.
"""

import os
import sys
from pathlib import Path

sys.path.append(os.environ["PACKAGES"])

import lightgbm
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        self.booster = lightgbm.Booster(model_file=Path(__file__).with_name("lightgbm.txt"))

    def execute(self, requests):
        answers = []
        for request in requests:
            rows = utils.get_input_tensor_by_name(request, "input").as_numpy()
            output = utils.Tensor("predict", self.booster.predict(rows, num_threads=1))
            answers.append(utils.InferenceResponse(output_tensors=[output]))
        return answers
