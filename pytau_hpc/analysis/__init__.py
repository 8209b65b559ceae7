"""The analysis room: what a fit says about the neurons, in milliseconds and spikes per second.

Reads results (`inference.result_file`) and, for what happens around a changepoint, the recording behind them (`data`);
computes with numpy, scipy and xarray. Fits nothing and writes nothing. Called through the doors
`pytau_hpc.changepoint_analysis` and `pytau_hpc.plotting`.

Two conventions live side by side, and every name belongs to one of them:

* the names that PyTau has (`tau.scaled_mode_tau`, `firing.state_firing`, …) are PyTau's numbers exactly;
* our own (`changepoints`, `rates`, `state_probability`) put a changepoint where the model's sigmoid is half-way, in the
  *middle* of bin `tau`, half a bin later than PyTau says.
"""
