// What the audio of a connection is doing: counters and levels of RTCPeerConnection.getStats, read twice a second.

const interval = 500;

export function watch(connection, show) {
  const read = async () => {
    if (connection.connectionState === 'closed') {
      clearInterval(timer);
      return;
    }
    show(summary(await connection.getStats(), connection.connectionState));
  };
  const timer = setInterval(read, interval);
  read();
  return () => clearInterval(timer);
}

function summary(report, state) {
  const found = { state, sent: 0, received: 0, lost: 0, lostThere: null, levelOut: 0, levelIn: 0, energyOut: 0, energyIn: 0, codec: '', path: '' };
  for (const item of report.values()) {
    if (item.type === 'outbound-rtp' && item.kind === 'audio') {
      found.sent = item.packetsSent;
    } else if (item.type === 'inbound-rtp' && item.kind === 'audio') {
      Object.assign(found, { received: item.packetsReceived, lost: item.packetsLost, levelIn: item.audioLevel ?? 0, energyIn: item.totalAudioEnergy ?? 0 });
      found.codec = report.get(item.codecId)?.mimeType?.replace('audio/', '') ?? '';
    } else if (item.type === 'remote-inbound-rtp') {
      found.lostThere = item.packetsLost;
    } else if (item.type === 'media-source' && item.kind === 'audio') {
      Object.assign(found, { levelOut: item.audioLevel ?? 0, energyOut: item.totalAudioEnergy ?? 0 });
    } else if (item.type === 'transport') {
      const remote = report.get(report.get(item.selectedCandidatePairId)?.remoteCandidateId);
      found.path = remote ? `${remote.address}:${remote.port}` : '';
      found.isSecure = item.dtlsState === 'connected';
    }
  }
  return found;
}
