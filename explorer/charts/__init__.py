"""Result in, chart out: one module per topic, one theme for all."""
