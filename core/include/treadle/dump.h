// Seeing the goroutines of a process.
#pragma once

namespace treadle {

// Writes one block a goroutine to the descriptor `fd`: id, state, what it waits for and for how
// long, and where it was created. Goroutines go on meanwhile, so the picture is not one instant.
// Allocates nothing. Never parks; any thread.
void dump_goroutines(int fd);

}  // namespace treadle
