"""Metrics with ground truth: the scene reader and its score, Frechet distance, PSNR and SSIM."""
