"""What happens at the frame's full size: reducing it, and applying the guided filter to it."""
