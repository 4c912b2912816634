//! What others are told of the chain: its board, and a line for each version that begins to serve.

use std::sync::Arc;

use super::{Keeper, Member};
use crate::change::standing::Standing;
use crate::status::{Entry, PluginState};

impl Keeper {
    /// Writes down how all plugins stand.
    pub(super) fn publish(&mut self) {
        let members = self.members.iter().map(|member| Entry {
            name: member.name.clone(),
            file: member.file.clone(),
            state: member.state,
            hooks: member.version.hooks(),
            generation: member.generation,
            refused: member.refused.clone(),
            identity: Some(Arc::clone(&member.version.blueprint.identity)),
            standing: member.course.standing(&member.settings),
        });
        let directory = self.settings.directory.clone().unwrap_or_default();
        let others = self.not_in_chain.iter().map(|name| Entry {
            name: name.clone(),
            file: directory.join(format!("{name}.wasm")),
            state: PluginState::NotInChain,
            hooks: Vec::new(),
            generation: 0,
            refused: None,
            identity: None,
            standing: Standing::default(),
        });
        self.board.write(members.chain(others).collect());
        // Last: it may wait for a disk.
        self.remember_bars();
    }
}

/// Says that a plugin's version serves from now on.
pub(super) fn announce(member: &Member) {
    tracing::info!(
        target: "jackfield::plugin",
        plugin = member.name,
        version = %member.version.identity().version,
        generation = member.generation,
        hooks = ?member.version.hooks(),
        compiled_in = ?member.program.compiled_in,
        "a plugin serves"
    );
}
