const ROOMS = ["lobby", "kitchen", "workshop"];
